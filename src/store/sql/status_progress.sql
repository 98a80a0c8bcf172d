-- What has been done since an earlier reading, without counting jobs: the number of the last job, which is drawn before
-- that is committed; the number of the last event; and how many events came after $1, none where that is null. Index:
-- event_pkey, backwards.
select (select case when is_called then last_value else 0 end from job_no) as last_job_no,
       coalesce((select max(event_no) from event), 0) as last_event_no,
       (select count(*) from event where event_no > $1) as events
