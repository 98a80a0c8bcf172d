-- Events that came in since $1, by the state that event_view would show. Not from the view, which looks up the
-- jobs of each event by itself. Indexes: event_received, job_not_succeeded,
-- change_pkey.
with failed as materialized (
     select distinct coalesce(c.event_no, j.cause_no) as event_no
       from job j
       left join change c on c.change_no = j.cause_no
      where j.state = 'failed'
), waiting as materialized (
     select event_no, bool_or(cause_no = event_no) as own
       from letter
      group by event_no
)
select case
         when e.verdict <> 'accepted' then e.verdict::text
         when failed.event_no is not null then 'failed'
         when waiting.own then 'accepted'
         when waiting.event_no is not null then 'syncing'
         else 'done'
       end as state,
       count(*) as events
  from event e
  left join failed using (event_no)
  left join waiting using (event_no)
 where e.received_at >= $1
 group by 1
 order by 1
