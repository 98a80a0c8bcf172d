-- Jobs that were finished and events that came in, minute by minute, from $1 on, or for the last hour. Minutes in which
-- nothing happened are there as well. Reads what happened since, and no more. Indexes: job_finished, event_received.
with bounds as materialized (
     select greatest($1::timestamptz, date_trunc('minute', now()) - interval '59 minutes') as since
), done as materialized (
     select date_trunc('minute', finished_at) as at,
            count(*) filter (where state = 'succeeded') as succeeded,
            count(*) filter (where state = 'failed') as failed
       from job
      where finished_at >= greatest($1::timestamptz, date_trunc('minute', now()) - interval '59 minutes')
      group by 1
), received as materialized (
     select date_trunc('minute', received_at) as at, count(*) as events
       from event
      where received_at >= greatest($1::timestamptz, date_trunc('minute', now()) - interval '59 minutes')
      group by 1
)
select m.at,
       coalesce(done.succeeded, 0) as succeeded,
       coalesce(done.failed, 0) as failed,
       coalesce(received.events, 0) as events
  from bounds
 cross join generate_series(bounds.since, date_trunc('minute', now()), interval '1 minute') m (at)
  left join done using (at)
  left join received using (at)
 order by m.at
