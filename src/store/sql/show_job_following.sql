-- How many jobs follow from a job, by state. $1, $2, $3: event, cause and organization. Indexes: change_event,
-- job_pkey, letter_event.
with follows as materialized (
     select change_no
       from change
      where event_no = $1
        and cause_no = $2
        and coalesce(downstream_no, organization_no) = $3
)
select state, count(*)
  from (select j.state::text
          from follows
          join job j on j.cause_no = follows.change_no
        union all
        select case when w.attempts > 0 then 'retrying' else 'pending' end
          from waiting_job w
         where w.event_no = $1
           and w.cause_no = any (array(select change_no from follows))) j (state)
 group by state
 order by state
