-- What a job effectively changed in its organization, as store::payload writes it. $1, $2, $3: event, cause
-- and organization. Indexes: change_event, value_pkey.
select c.category,
       effect.name as change,
       case when effect.name = 'removed' then effect.entry #>> '{}' else effect.entry ->> 0 end as key,
       v.body as value
  from change c
 cross join lateral json_array_elements(c.payload) with ordinality entries (entry, place)
 cross join lateral json_each(entries.entry) effect (name, entry)
  left join value v on effect.name <> 'removed' and v.value_id = (effect.entry ->> 1)::uuid
 where c.event_no = $1
   and c.cause_no = $2
   and c.organization_no = $3
   and c.category is not null
 order by c.category, entries.place
