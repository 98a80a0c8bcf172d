-- Big jobs are cut: a letter remembers how far it has come.

-- Settings in the order of their bytes, as the program orders them: one index serves reading them by key and
-- going through them part by part. The view must be made anew for that.
drop view setting_view;
alter table setting
    alter column category type text collate "C",
    alter column key type text collate "C";
alter table declined
    alter column category type text collate "C",
    alter column key type text collate "C";

create view setting_view as
select o.organization_id,
       s.category,
       s.key,
       v.body as value,
       coalesce(upstream.organization_id, 'own') as origin,
       lock_holder.organization_id is not null as locked,
       lock_holder.organization_id as locked_by,
       e.event_id,
       s.updated_at
  from setting s
  join organization o using (organization_no)
  join value v using (value_id)
  left join event e on e.event_no = s.event_no
  left join organization upstream on upstream.organization_no = s.origin_no
  left join lateral (
       select holder.organization_id
         from partnership p
         join category c on c.name = s.category and c.reach = 'ongoing'
         join organization holder on holder.organization_no = p.upstream_no
        where p.downstream_no = s.organization_no
          and p.mode = 'strict'
        limit 1
  ) lock_holder on true;

alter table letter
    -- To a shard: done for its members up to this one.
    add column after_member_no int check (after_member_no is null or organization_no is null),
    -- To one organization: done for the entries up to this place, ...
    add column after_category text collate "C",
    add column after_key text collate "C",
    -- ... which met these fates.
    add column added int,
    add column changed int,
    add column removed int,
    add column unchanged int,
    add column kept_own int,
    add column declined int,
    add column overtaken int,
    add constraint letter_progress_check check (
        num_nulls(after_category, after_key, added, changed, removed, unchanged, kept_own, declined,
                  overtaken) in (0, 9)
        and (after_category is null or organization_no is not null));

-- A letter to a shard no longer stands for those whom it has reached.
create or replace view waiting_job as
select l.cause_no, l.organization_no, l.event_no, l.kind, l.attempts, l.last_error, l.created_at, l.run_at,
       l.attempts_before
  from letter l
 where l.organization_no is not null
union all
select l.cause_no, p.downstream_no, l.event_no, l.kind, l.attempts, l.last_error, l.created_at, l.run_at,
       l.attempts_before
  from letter l
  join change c on c.change_no = l.cause_no
  join partnership p
    on p.upstream_no = c.organization_no
   and p.downstream_shard = l.shard
   and p.downstream_no > coalesce(l.after_member_no, 0)
   and p.since_change_no < c.change_no
   and (p.mode = 'strict' or (p.mode in ('non-exclusive', 'flexible') and c.merges))
 where l.organization_no is null;

-- Attempts before a replay count, and what a replay left alone is told.
create or replace view job_view as
select j.cause_no || '-' || j.organization_no as idempotency_key,
       e.event_id,
       case
         when c.beginning is not null then 'reconcile'
         when c.change_no is not null then 'sync-change'
         when e.type = 'partnership-changed' then 'partnership-change'
         else 'own-change'
       end as kind,
       o.organization_id,
       upstream.organization_id as upstream_id,
       coalesce(c.category, e_own.category) as category,
       j.state,
       j.attempts,
       j.last_error,
       j.result,
       coalesce(c.made_at, e.received_at) as created_at,
       j.run_at,
       j.finished_at
  from (
       select cause_no, organization_no, state::text, attempts, last_error,
              jsonb_strip_nulls(jsonb_build_object(
                  'added', added, 'changed', changed, 'removed', removed, 'unchanged', unchanged,
                  'kept_own', kept_own, 'declined', nullif(declined, 0), 'overtaken', nullif(overtaken, 0),
                  'skipped', skipped)) as result,
              null::timestamptz as run_at,
              finished_at
         from job
       union all
       select cause_no, organization_no, case when attempts > 0 then 'retrying' else 'pending' end,
              attempts_before + attempts, last_error, null, run_at, null
         from waiting_job
       ) j
  join organization o on o.organization_no = j.organization_no
  left join change c on c.change_no = j.cause_no
  left join event e_own on e_own.event_no = j.cause_no
  join event e on e.event_no = coalesce(c.event_no, e_own.event_no)
  left join organization upstream
    on upstream.organization_no = case
         when c.change_no is not null then c.organization_no
         when e_own.type = 'partnership-changed' then e_own.organization_no
       end;
