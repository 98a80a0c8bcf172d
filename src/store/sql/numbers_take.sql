-- Numbers for new events or changes, ascending.
select nextval('cause_no') from generate_series(1, $1::bigint)
