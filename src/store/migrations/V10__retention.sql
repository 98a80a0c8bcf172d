-- Results in partitions by day, which are made ahead and dropped by age: decision 0017.
--
-- A day is a day of numbers. The sequence of causes goes on at the next multiple of a billion when a day begins, so the
-- bounds of all days are known, and so is the day of a cause by its number.

create function job_day_no(cause_no bigint) returns bigint
language sql immutable parallel safe
return cause_no / 1000000000;

create function job_day_first(day_no bigint) returns bigint
language sql immutable parallel safe
return day_no * 1000000000;

-- The days so far, in the order of their numbers; the last one is that of now. A day ends where the next one begins.
create table job_day (
    day_no     bigint primary key,
    began_on   date not null,
    dropped_at timestamptz
);

-- Writers go on meanwhile.
alter table job validate constraint job_day_check;

-- The table becomes the first partition, whose indexes make room for those of all of them.
do $$
declare
    day       bigint;
    bound     bigint;
    made_anew text[];
    statement text;
begin
    select substring(pg_get_constraintdef(oid) from '\d+')::bigint
      into bound
      from pg_constraint
     where conrelid = 'job'::regclass and conname = 'job_day_check';
    day := job_day_no(bound) - 1;
    -- What reads the table, as it is, for the new one.
    select array_agg(format('create or replace view %I as %s', name, pg_get_viewdef(name::regclass)))
           || pg_get_functiondef('chosen_job'::regproc)
      into made_anew
      from unnest(array['job_view', 'event_view', 'partnership_lag']) name;

    execute format('alter table job rename to job_day_%s', day);
    execute format('alter index job_pkey rename to job_day_%s_pkey', day);
    execute format('alter index job_organization rename to job_day_%s_organization', day);
    execute format('alter index job_not_succeeded rename to job_day_%s_not_succeeded', day);
    execute format('alter index job_finished rename to job_day_%s_finished', day);
    execute format('alter table job_day_%s rename constraint job_check to job_last_error_check', day);
    execute format('create table job (like job_day_%s including defaults, primary key (cause_no, organization_no),
                                      constraint job_last_error_check
                                          check (last_error is not null or state <> ''failed''))
                        partition by range (cause_no)', day);
    create index job_organization on job (organization_no, cause_no);
    create index job_not_succeeded on job (cause_no, organization_no) where state <> 'succeeded';
    create index job_finished on job using brin (finished_at) with (autosummarize = on);
    execute format('alter table job attach partition job_day_%s for values from (minvalue) to (%s)', day, bound);
    execute format('alter table job_day_%s drop constraint job_day_check', day);
    insert into job_day (day_no, began_on) values (day, current_date);

    -- What outlasts its day, and whatever has no partition of its own.
    create table job_kept partition of job default;

    foreach statement in array made_anew loop
        execute statement;
    end loop;

    -- Who may do something with the results may do it from now on.
    for statement in
        select format('grant %s on %I to %s', acl.privilege_type, name,
                      case acl.grantee when 0 then 'public' else acl.grantee::regrole::text end)
          from pg_class
         cross join lateral aclexplode(relacl) acl
         cross join unnest(array['job', 'job_kept', 'job_day']) name
         where pg_class.oid = format('job_day_%s', day)::regclass
           and acl.grantee <> relowner
    loop
        execute statement;
    end loop;
end
$$;

-- Partitions are made and dropped by the service, which may do nothing with tables but by these functions. Each is for
-- a transaction of its own, under the lock of retention_lock.sql, and does not wait long for others: they would wait
-- behind it.

-- Begins the day of this date, where it has not begun: numbers go on where it does. Returns its number; null where
-- there was nothing to begin. A clock that is put back begins nothing.
create function job_day_begin(today date) returns bigint
language plpgsql security definer
set search_path = channel_sync, pg_temp
as $$
declare
    last   job_day;
    begins bigint;
begin
    select * into strict last from job_day order by day_no desc limit 1;
    if today <= last.began_on then
        return null;
    end if;
    -- Never back: beyond what others draw meanwhile. Where a day had more than a billion causes, and ran over.
    select job_day_no(greatest(last_value + 1000000, job_day_first(last.day_no))) + 1 into begins from cause_no;
    perform setval('cause_no', job_day_first(begins));
    insert into job_day (day_no, began_on) select no, today from generate_series(last.day_no + 1, begins) no;
    return begins;
end
$$;

-- Makes the partition of the next day that has none, of today and so many days ahead. Returns its number; null where
-- there was nothing to make. Results that came before their partition go there.
create function job_day_make(ahead int) returns bigint
language plpgsql security definer
set search_path = channel_sync, pg_temp
set lock_timeout = '1500ms'
as $$
declare
    today bigint;
    made  bigint;
begin
    select max(day_no) into strict today from job_day;
    select no
      into made
      from generate_series(today, today + ahead) no
     where to_regclass(format('job_day_%s', no)) is null
     order by no
     limit 1;
    if made is null then
        return null;
    end if;
    execute format('create table job_day_%s (like job including defaults including constraints)', made);
    lock table job_kept in access exclusive mode;
    execute format('with moved as (
                         delete from job_kept
                          where cause_no >= job_day_first(%1$s) and cause_no < job_day_first(%1$s + 1)
                         returning *)
                    insert into job_day_%1$s select * from moved', made);
    execute format('alter table job attach partition job_day_%s for values from (%s) to (%s)',
                   made, job_day_first(made), job_day_first(made + 1));
    return made;
end
$$;

-- Drops the oldest day that has ended so many days before this date, but for what outlasts it: jobs that failed, and
-- those of partnerships, which say what flags and reconciles there were. Not a day for whose causes something waits to
-- be done, nor one that a replay under way has to know of: those from its oldest event on. Returns the number of the
-- day and how many jobs were kept; no row where there was nothing to drop.
create function job_day_drop(today date, days int, out dropped bigint, out kept bigint) returns setof record
language plpgsql security definer
set search_path = channel_sync, pg_temp
set lock_timeout = '1500ms'
as $$
declare
    first_cause bigint;
    next_cause  bigint;
begin
    select day.day_no, case when day.is_first then 0 else job_day_first(day.day_no) end, job_day_first(day.day_no + 1)
      into dropped, first_cause, next_cause
      from (select day_no, dropped_at,
                   lead(began_on) over (order by day_no) as ended_on,
                   lag(day_no) over (order by day_no) is null as is_first
              from job_day) day
     where day.dropped_at is null
       and day.ended_on + days <= today
       and greatest(day.day_no, (select min(day_no) from job_day)) not in (
           select greatest(job_day_no(cause_no), (select min(day_no) from job_day)) from letter)
       and job_day_first(day.day_no + 1) <= all (
           select event_no from letter where replay
           union all
           select coalesce(c.event_no, r.cause_no)
             from replay
             join replay_job r using (replay_no)
             left join change c on c.change_no = r.cause_no
            where replay.state = 'running' and r.state = 'waiting')
     order by day.day_no
     limit 1;
    if dropped is null then
        return;
    end if;
    execute format('alter table job detach partition job_day_%s', dropped);
    execute format('insert into job
                    select * from job_day_%1$s where state = ''failed''
                    union all
                    select j.*
                      from event e
                      join job_day_%1$s j on j.cause_no = e.event_no
                     where e.type = ''partnership-changed'' and e.event_no >= $1 and e.event_no < $2
                       and j.state <> ''failed''
                    union all
                    select j.*
                      from change c
                      join job_day_%1$s j on j.cause_no = c.change_no
                     where c.beginning is not null and c.change_no >= $1 and c.change_no < $2
                       and j.state <> ''failed''', dropped)
      using first_cause, next_cause;
    get diagnostics kept = row_count;
    execute format('drop table job_day_%s', dropped);
    update job_day set dropped_at = now() where day_no = dropped;
    return next;
end
$$;

revoke all on function job_day_begin(date), job_day_make(int), job_day_drop(date, int) from public;

-- For whoever may write results.
do $$
declare
    worker text;
begin
    for worker in
        select acl.grantee::regrole::text
          from pg_class
         cross join lateral aclexplode(relacl) acl
         where pg_class.oid = 'job'::regclass and acl.privilege_type = 'INSERT' and acl.grantee not in (0, relowner)
    loop
        execute format('grant execute on function job_day_begin(date), job_day_make(int), job_day_drop(date, int) to %s',
                       worker);
    end loop;
end
$$;
