-- Events, the newest first, as event_view shows them. $1: in this state; $2: of this organization; $3, $4: of
-- this source, with this id; $5: before this number. Indexes: event_pkey or event_organization backwards, no
-- further than the limit; for states that few events have, job_not_succeeded or letter_event.
select e.event_no, v.event_id, v.source, v.type, v.organization_id, v.category, v.state, v.received_at,
       v.finished_at, v.jobs_total, v.jobs_succeeded, v.jobs_failed
  from event e
       -- Not taken apart by the planner: its state is computed once, not for every use.
 cross join lateral (
       select * from event_view v where v.source = e.source and v.event_id = e.event_id offset 0
       ) v
 where ($1::text is null or v.state = $1)
   and ($1 is distinct from 'failed'
        or e.event_no = any (array(select coalesce(c.event_no, j.cause_no)
                                     from job j
                                     left join change c on c.change_no = j.cause_no
                                    where j.state = 'failed')))
   and ($1 is distinct from 'accepted'
        or e.event_no = any (array(select event_no from letter where cause_no = event_no)))
   and ($1 is distinct from 'syncing' or e.event_no = any (array(select event_no from letter)))
   and ($1 is null or $1 not in ('accepted', 'syncing', 'done', 'failed') or e.verdict = 'accepted')
   and ($1 is distinct from 'ignored' or e.verdict = 'ignored')
   and ($1 is distinct from 'superseded' or e.verdict = 'superseded')
   and ($1 is distinct from 'locked' or e.verdict = 'locked')
   and ($1 is distinct from 'rejected' or e.verdict = 'rejected')
   and ($2::int is null or e.organization_no = $2)
   and ($3::text is null or e.source = $3)
   and ($4::text is null or e.event_id = $4)
   and ($5::bigint is null or e.event_no < $5)
 order by e.event_no desc
 limit $6
