-- Jobs, finished or not, the newest cause first, with the columns of job_view. $1: in this state; $2: of this
-- organization; $3: of this event; $4: of this kind; $5, $6: before this cause and organization; $7, $8: of
-- this cause and organization alone; $9: at most so many.
-- Not from the view, which would sort every job there is. Each of the parts stops at the limit: finished jobs by
-- job_pkey, job_organization or job_not_succeeded, backwards; those of kinds that few have, by their causes (event_pkey,
-- event_partnership, change_beginning; `offset 0` keeps the planner from reading all of them), unless something else is
-- said that few have; letters to one organization; letters to the downstreams in a shard, of which only as many are
-- expanded as it takes.
select j.cause_no,
       j.organization_no,
       e.event_id,
       case
         when c.beginning is not null then 'reconcile'
         when c.change_no is not null then 'sync-change'
         when e.type = 'partnership-changed' then 'partnership-change'
         else 'own-change'
       end as kind,
       o.organization_id,
       upstream.organization_id as upstream_id,
       coalesce(c.category, e.category) as category,
       j.state,
       j.attempts,
       j.last_error,
       j.result,
       coalesce(c.made_at, e.received_at) as created_at,
       j.run_at,
       j.finished_at,
       e.source
  from (
       (select j.cause_no, j.organization_no, j.state::text, j.attempts, j.last_error,
               jsonb_strip_nulls(jsonb_build_object(
                   'added', j.added, 'changed', j.changed, 'removed', j.removed, 'unchanged', j.unchanged,
                   'kept_own', j.kept_own, 'declined', nullif(j.declined, 0),
                   'overtaken', nullif(j.overtaken, 0), 'skipped', j.skipped)) as result,
               null::timestamptz as run_at, j.finished_at
          from job j
          left join change c on c.change_no = j.cause_no
          left join event e on e.event_no = j.cause_no
         where ($1::text is null or $1 not in ('pending', 'retrying'))
           and ($4::text is null or $4 = 'sync-change' or $1 in ('failed', 'discarded')
                or num_nonnulls($2::int, $3::bigint, $7::bigint) > 0)
           and ($1 is distinct from 'succeeded' or j.state = 'succeeded')
           and ($1 is distinct from 'failed' or j.state = 'failed')
           and ($1 is distinct from 'discarded' or j.state = 'discarded')
           and ($2::int is null or j.organization_no = $2)
           and ($3::bigint is null
                or j.cause_no = any (array(select $3
                                           union all
                                           select change_no from change where event_no = $3)))
           and ($4::text is distinct from 'own-change' or e.type = 'setting-changed')
           and ($4 is distinct from 'partnership-change' or e.type = 'partnership-changed')
           and ($4 is distinct from 'sync-change' or (c.change_no is not null and c.beginning is null))
           and ($4 is distinct from 'reconcile' or c.beginning is not null)
           and ($5::bigint is null or (j.cause_no, j.organization_no) < ($5, $6::int))
           and ($7::bigint is null or (j.cause_no = $7 and j.organization_no = $8::int))
         order by j.cause_no desc, j.organization_no desc
         limit $9)
       union all
       (select j.cause_no, j.organization_no, j.state::text, j.attempts, j.last_error,
               jsonb_strip_nulls(jsonb_build_object(
                   'added', j.added, 'changed', j.changed, 'removed', j.removed, 'unchanged', j.unchanged,
                   'kept_own', j.kept_own, 'declined', nullif(j.declined, 0),
                   'overtaken', nullif(j.overtaken, 0), 'skipped', j.skipped)),
               null, j.finished_at
          from event e
         cross join lateral (
               select *
                 from job
                where cause_no = e.event_no
                  and organization_no = case when $4 = 'own-change' then e.organization_no else e.downstream_no end
               offset 0
               ) j
         where $4::text in ('own-change', 'partnership-change')
           and ($4 is distinct from 'own-change' or e.type = 'setting-changed')
           and ($4 is distinct from 'partnership-change' or e.type = 'partnership-changed')
           and ($1::text is null or $1 = 'succeeded')
           and ($1 is distinct from 'succeeded' or j.state = 'succeeded')
           and num_nonnulls($2::int, $3::bigint, $7::bigint) = 0
           and ($5::bigint is null or e.event_no <= $5)
           and ($5::bigint is null or (j.cause_no, j.organization_no) < ($5, $6::int))
         order by e.event_no desc
         limit $9)
       union all
       (select j.cause_no, j.organization_no, j.state::text, j.attempts, j.last_error,
               jsonb_strip_nulls(jsonb_build_object(
                   'added', j.added, 'changed', j.changed, 'removed', j.removed, 'unchanged', j.unchanged,
                   'kept_own', j.kept_own, 'declined', nullif(j.declined, 0),
                   'overtaken', nullif(j.overtaken, 0), 'skipped', j.skipped)),
               null, j.finished_at
          from change c
         cross join lateral (
               select *
                 from job
                where cause_no = c.change_no
                  and organization_no = c.downstream_no
               offset 0
               ) j
         where $4::text = 'reconcile'
           and c.beginning is not null
           and ($1::text is null or $1 = 'succeeded')
           and ($1 is distinct from 'succeeded' or j.state = 'succeeded')
           and num_nonnulls($2::int, $3::bigint, $7::bigint) = 0
           and ($5::bigint is null or c.change_no <= $5)
           and ($5::bigint is null or (j.cause_no, j.organization_no) < ($5, $6::int))
         order by c.change_no desc
         limit $9)
       union all
       (select l.cause_no, l.organization_no, case when l.attempts > 0 then 'retrying' else 'pending' end,
               l.attempts_before + l.attempts, l.last_error, null, l.run_at, null
          from letter l
         where l.organization_no is not null
           and ($1::text is null or $1 in ('pending', 'retrying'))
           and ($1 is distinct from 'pending' or l.attempts = 0)
           and ($1 is distinct from 'retrying' or l.attempts > 0)
           and ($2::int is null or l.organization_no = $2)
           and ($3::bigint is null or l.event_no = $3)
           and ($4::text is null or l.kind::text = $4)
           and ($5::bigint is null or (l.cause_no, l.organization_no) < ($5, $6::int))
           and ($7::bigint is null or (l.cause_no = $7 and l.organization_no = $8::int))
         order by l.cause_no desc, l.organization_no desc
         limit $9)
       union all
       (select l.cause_no, p.downstream_no, case when l.attempts > 0 then 'retrying' else 'pending' end,
               l.attempts_before + l.attempts, l.last_error, null, l.run_at, null
          from (select *
                  from letter
                 where organization_no is null
                   and ($1::text is null or $1 in ('pending', 'retrying'))
                   and ($1 is distinct from 'pending' or attempts = 0)
                   and ($1 is distinct from 'retrying' or attempts > 0)
                   and ($3::bigint is null or event_no = $3)
                   and ($4::text is null or kind::text = $4)
                   and ($5::bigint is null or cause_no <= $5)
                   and ($7::bigint is null or cause_no = $7)
                 order by cause_no desc) l
          join change c on c.change_no = l.cause_no
          join partnership p
            on p.upstream_no = c.organization_no
           and p.downstream_shard = l.shard
           and p.downstream_no > coalesce(l.after_member_no, 0)
           and p.since_change_no < c.change_no
           and (p.mode = 'strict' or (p.mode in ('non-exclusive', 'flexible') and c.merges))
         where ($2::int is null or p.downstream_no = $2)
           and ($5::bigint is null or (l.cause_no, p.downstream_no) < ($5, $6::int))
           and ($7::bigint is null or p.downstream_no = $8::int)
         order by l.cause_no desc, p.downstream_no desc
         limit $9)
       ) j
  join organization o on o.organization_no = j.organization_no
  left join change c on c.change_no = j.cause_no
  join event e on e.event_no = coalesce(c.event_no, j.cause_no)
  left join organization upstream
    on upstream.organization_no = case
         when c.change_no is not null then c.organization_no
         when e.type = 'partnership-changed' then e.organization_no
       end
 order by j.cause_no desc, j.organization_no desc
 limit $9
