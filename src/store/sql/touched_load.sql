-- What something newer than old jobs has touched, and the last event that did: in organizations ($1), by events later
-- than that of the oldest one ($2), in one category ($3) or in all: entries, categories (key null), everything
-- (category null). The organization's own events that took effect; changes of an upstream, and reconciles, that changed
-- something, the first time or when they were done once more, to the end or in parts; apart from others, those that may
-- have removed something (may_remove). The number of a cause is never less than that of its root event. Of what came
-- before the end of a day whose results were dropped nobody knows any more what it touched: a row says so
-- (results_dropped), with the first number after it. Indexes: event_organization, job_organization,
-- letter_organization, replay_job_had_effect, change_pkey.
with replay as materialized (
     select * from unnest($1::int[], $2::bigint[], $3::text[]) r (organization_no, event_no, category)
)
select r.organization_no, e.category, edit.key, true as may_remove, false as results_dropped,
       max(e.event_no) as event_no
  from replay r
       -- Looked up one by one (offset 0): a join could read whole tables, for few letters.
 cross join lateral (
       select own.category, own.payload, own.event_no
         from event own
        where own.organization_no = r.organization_no
          and own.event_no > r.event_no
          and own.type = 'setting-changed'
          and own.verdict = 'accepted'
          and (r.category is null or own.category = r.category)
          and exists (select from job j
                       where j.organization_no = r.organization_no
                         and j.cause_no = own.event_no
                         and j.state = 'succeeded')
       offset 0
       ) e
 cross join lateral (
       select change ->> 0 from json_array_elements(e.payload -> 'changes') change
       union all
       select null where e.payload -> 'snapshot' is not null
       ) edit (key)
 group by r.organization_no, e.category, edit.key
union all
select r.organization_no, c.category, entry.key, j.may_remove, false, max(c.event_no)
  from replay r
 cross join lateral (
       select d.cause_no, d.removed > 0 as may_remove
         from job d
        where d.organization_no = r.organization_no
          and d.cause_no > r.event_no
          and d.added + d.changed + d.removed > 0
       union all
       select d.cause_no, d.removed > 0
         from letter d
        where d.organization_no = r.organization_no
          and d.cause_no > r.event_no
          and d.added + d.changed + d.removed > 0
       union all
       -- What it did the first time is not known any more.
       select d.cause_no, true
         from replay_job d
        where d.organization_no = r.organization_no
          and d.cause_no > r.event_no
          and d.had_effect
       ) j
 cross join lateral (
       select made.category, made.payload, made.beginning, made.event_no
         from change made
        where made.change_no = j.cause_no
          and made.event_no > r.event_no
          and (made.beginning is not null or r.category is null or made.category = r.category)
       offset 0
       ) c
 cross join lateral (
       select case when effect.name = 'removed' then effect.entry #>> '{}' else effect.entry ->> 0 end
         from json_array_elements(c.payload) entries
        cross join lateral json_each(entries) effect (name, entry)
       union all
       select null where c.beginning is not null
       ) entry (key)
 group by r.organization_no, c.category, entry.key, j.may_remove
union all
select r.organization_no, null, null, true, true, dropped.next_cause_no
  from replay r
  join (select max(job_day_first(day_no + 1)) as next_cause_no
          from job_day
         where dropped_at is not null) dropped on dropped.next_cause_no > r.event_no
