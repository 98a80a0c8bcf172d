-- The first $2 jobs of an event, those that others follow from before these, with the columns of job_view and
-- the job that each follows from. Indexes: change_event, job_pkey, letter_event.
with cause as materialized (
     select $1::bigint as cause_no
     union all
     select change_no from change where event_no = $1
)
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
       e.source,
       c.cause_no || '-' || coalesce(c.downstream_no, c.organization_no) as follows_from
  from (
       select j.cause_no, j.organization_no, j.state::text, j.attempts, j.last_error,
              jsonb_strip_nulls(jsonb_build_object(
                  'added', j.added, 'changed', j.changed, 'removed', j.removed, 'unchanged', j.unchanged,
                  'kept_own', j.kept_own, 'declined', nullif(j.declined, 0),
                  'overtaken', nullif(j.overtaken, 0), 'skipped', j.skipped)) as result,
              null::timestamptz as run_at, j.finished_at
         from cause
         join job j using (cause_no)
       union all
       select w.cause_no, w.organization_no, case when w.attempts > 0 then 'retrying' else 'pending' end,
              w.attempts_before + w.attempts, w.last_error, null, w.run_at, null
         from waiting_job w
        where w.event_no = $1
        order by cause_no, organization_no
        limit $2
       ) j
  join organization o on o.organization_no = j.organization_no
  join event e on e.event_no = $1
  left join change c on c.change_no = j.cause_no
  left join organization upstream
    on upstream.organization_no = case
         when c.change_no is not null then c.organization_no
         when e.type = 'partnership-changed' then e.organization_no
       end
 order by j.cause_no, j.organization_no
