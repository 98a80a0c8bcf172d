-- When the results of the day were dropped to which a cause ($1) belongs. Indexes: job_day_pkey, event_pkey,
-- change_pkey.
select d.dropped_at
  from job_day d
 where d.day_no = greatest(job_day_no($1), (select min(day_no) from job_day))
   and d.dropped_at is not null
   and (exists (select from event where event_no = $1) or exists (select from change where change_no = $1))
