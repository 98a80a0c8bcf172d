-- How many jobs an event has, by state. $1: the event. Indexes: change_event, job_pkey, letter_event.
with cause as materialized (
     select $1::bigint as cause_no
     union all
     select change_no from change where event_no = $1
)
select state, count(*)
  from (select j.state::text
          from cause
          join job j using (cause_no)
        union all
        select case when w.attempts > 0 then 'retrying' else 'pending' end
          from waiting_job w
         where w.event_no = $1) j (state)
 group by state
 order by state
