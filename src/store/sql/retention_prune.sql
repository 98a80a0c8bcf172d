-- Jobs of dropped days that were done, or given up for good, only later: they go as many days ($2, before the date $1)
-- after that, $3 at most at once. What failed stays, and so do the jobs of partnerships. Reads what was kept as a whole.
-- Indexes: event_pkey, change_pkey.
delete from job_kept
 where ctid = any (array(
       select k.ctid
         from job_kept k
        where k.state <> 'failed'
          and k.finished_at < $1::date - $2::int
          and not exists (select from event e where e.event_no = k.cause_no and e.type = 'partnership-changed')
          and not exists (select from change c where c.change_no = k.cause_no and c.beginning is not null)
        limit $3))
returning cause_no
