-- What waits, by kind, for the metrics: how many letters, how many of them run again after a failure, and for how long
-- the oldest has been due that nobody has paused. Reads all letters, and nothing that is done: their number is that
-- of what waits, whatever the number of finished jobs.
select l.kind::text,
       count(*) as letters,
       count(*) filter (where l.attempts > 0) as retrying,
       coalesce(extract(epoch from now() - min(greatest(l.created_at, l.run_at)) filter (
         where (l.attempts = 0 or l.run_at <= now())
           and p.organization_no is null
           and not exists (select from pause where organization_no is null))), 0)::float8 as oldest_due_seconds
  from letter l
  left join pause p on p.organization_no = l.organization_no
 group by l.kind
