-- What named a setting (key $3 of the category $2) in an organization ($1), the newest cause first, at most $4: the
-- organization's own events, changes of upstreams that came to it, and reconciles, which name all. With what its job
-- did: as a whole, and to this setting, where that is kept: where it went on to downstreams, or was archived. All own
-- events in the category are looked through, and the last $5 jobs. Indexes: event_organization, job_organization,
-- job_pkey, letter_organization, change_pkey, change_event, archived_setting_pkey.
with cause_of as materialized (
     (select cause_no from job where organization_no = $1 order by cause_no desc limit $5)
     union all
     select cause_no from waiting_job where organization_no = $1
),
named as (
     select own.event_no as cause_no, own.event_no, 'own-change' as kind, null::int as upstream_no, said.change,
            said.value_id, null::text as beginning
       from event own
      cross join lateral (
            select case when change ->> 1 is null then 'removed' else 'set' end as change,
                   (change ->> 1)::uuid as value_id
              from json_array_elements(own.payload -> 'changes') change
             where change ->> 0 = $3
            union all
            select case when entry is null then 'left out' else 'set' end, (entry ->> 1)::uuid
              from (select own.payload -> 'snapshot' as snapshot) all_of_it
              left join lateral (
                   select entry from json_array_elements(all_of_it.snapshot) entry where entry ->> 0 = $3
                   ) entries on true
             where all_of_it.snapshot is not null
            ) said
      where own.organization_no = $1
        and own.type = 'setting-changed'
        and own.category = $2
     union all
     select made.change_no, made.event_no, case when made.beginning is null then 'sync-change' else 'reconcile' end,
            made.organization_no, said.change, said.value_id, made.beginning::text
       from cause_of
       join change made on made.change_no = cause_of.cause_no
      cross join lateral (
            select effect.name as change,
                   case when effect.name <> 'removed' then (effect.entry ->> 1)::uuid end as value_id
              from json_array_elements(made.payload) entries
             cross join lateral json_each(entries) effect (name, entry)
             where case when effect.name = 'removed' then effect.entry #>> '{}' else effect.entry ->> 0 end = $3
            union all
            select null, null where made.beginning is not null
            ) said
      where made.category = $2
         or made.beginning is not null
)
select n.cause_no || '-' || $1 as idempotency_key,
       n.cause_no,
       n.event_no,
       n.kind,
       n.upstream_no,
       u.organization_id as upstream_id,
       n.change,
       said.body as value,
       n.beginning,
       e.event_id,
       e.source,
       e.received_at,
       e.verdict::text,
       flags.payload::text as flags,
       j.job_no,
       coalesce(j.state, dropped.state) as state,
       jsonb_strip_nulls(jsonb_build_object(
           'added', j.added, 'changed', j.changed, 'removed', j.removed, 'unchanged', j.unchanged,
           'kept_own', j.kept_own, 'declined', nullif(j.declined, 0), 'overtaken', nullif(j.overtaken, 0),
           'skipped', j.skipped)) as result,
       j.last_error,
       j.finished_at,
       j.run_at,
       went_on.name as effect,
       archived.body as archived,
       archived.origin as archived_origin
  from (select * from named order by cause_no desc limit $4) n
  join event e on e.event_no = n.event_no
  left join event flags on flags.event_no = n.event_no and flags.type = 'partnership-changed'
  left join lateral (
       select job_no, state::text as state, added, changed, removed, unchanged, kept_own, declined, overtaken,
              skipped, last_error, finished_at, null::timestamptz as run_at
         from job
        where cause_no = n.cause_no
          and organization_no = $1
       union all
       select null, case when attempts > 0 then 'retrying' else 'pending' end, 0, 0, 0, 0, 0, 0, 0, null,
              last_error, null, run_at
         from waiting_job
        where cause_no = n.cause_no
          and organization_no = $1
       ) j on true
       -- An own event whose result is not kept any more.
  left join lateral (
       select 'dropped' as state
         from job_day d
        where d.day_no = greatest(job_day_no(n.cause_no), (select min(day_no) from job_day))
          and d.dropped_at is not null
       ) dropped on true
  left join organization u on u.organization_no = n.upstream_no
  left join value said on said.value_id = n.value_id
  left join lateral (
       select effect.name
         from change below
        cross join lateral json_array_elements(below.payload) entries
        cross join lateral json_each(entries) effect (name, entry)
        where below.event_no = n.event_no
          and below.cause_no = n.cause_no
          and below.organization_no = $1
          and below.category = $2
          and case when effect.name = 'removed' then effect.entry #>> '{}' else effect.entry ->> 0 end = $3
        limit 1
       ) went_on on true
  left join lateral (
       select v.body, coalesce(o.organization_id, 'own') as origin
         from archived_setting a
         join value v using (value_id)
         left join organization o on o.organization_no = a.origin_no
        where a.cause_no = n.cause_no
          and a.organization_no = $1
          and a.category = $2
          and a.key = $3
        order by a.event_no desc
        limit 1
       ) archived on true
 order by n.cause_no desc
