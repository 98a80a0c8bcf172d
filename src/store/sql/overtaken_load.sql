-- What is newer than jobs that are replayed, each a letter ($1) of an organization ($2) with a root event ($3), in
-- one category ($4) or in all: entries, categories (key null), everything (category null). The organization's own
-- later events that took effect; later changes of an upstream, and later reconciles, that changed something. The
-- number of a cause is never less than that of its root event. Indexes: event_organization, job_organization,
-- job_pkey, change_pkey.
with replay as materialized (
     select * from unnest($1::bigint[], $2::int[], $3::bigint[], $4::text[]) r (letter_no, organization_no, event_no,
                                                                                category)
)
select distinct r.letter_no, e.category, edit.key
  from replay r
  join event e
    on e.organization_no = r.organization_no
   and e.event_no > r.event_no
   and e.type = 'setting-changed'
   and e.verdict = 'accepted'
   and (r.category is null or e.category = r.category)
  join job j
    on j.cause_no = e.event_no
   and j.organization_no = r.organization_no
   and j.state = 'succeeded'
 cross join lateral (
       select change ->> 0 from json_array_elements(e.payload -> 'changes') change
       union all
       select null where e.payload -> 'snapshot' is not null
       ) edit (key)
union
select r.letter_no, c.category, entry.key
  from replay r
  join job j
    on j.organization_no = r.organization_no
   and j.cause_no > r.event_no
   and j.state = 'succeeded'
   and j.added + j.changed + j.removed > 0
  join change c
    on c.change_no = j.cause_no
   and c.event_no > r.event_no
   and (c.beginning is not null or r.category is null or c.category = r.category)
 cross join lateral (
       select case when effect.name = 'removed' then effect.entry #>> '{}' else effect.entry ->> 0 end
         from json_array_elements(c.payload) entries
        cross join lateral json_each(entries) effect (name, entry)
       union all
       select null where c.beginning is not null
       ) entry (key)
