-- The results so far will be the first partition of those to come (V10). What that needs is said here, for new rows, and
-- V10 makes sure of the old ones: so that no lock is held while a large table is read.

do $$
begin
    -- The next multiple of a billion that is not near.
    execute format('alter table job add constraint job_day_check check (cause_no < %s) not valid',
                   (select ((last_value + 500000000) / 1000000000 + 1) * 1000000000 from cause_no));
end
$$;
