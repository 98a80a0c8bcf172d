-- The entries of organizations ($1) in categories ($2) under the keys of a set ($3). What the sets hold: $6, $7. In a
-- fan-out all organizations ask for the same keys: these are sent once. Index: setting_pkey, for each key by itself,
-- however small the table is thought to be: that is what the `limit` is for.
--
-- Who asks for many keys, from $4 to $5, may have nothing there at all, as at a first import: one look tells.
select s.organization_no, s.category, s.key, s.value_id, s.origin_no, s.event_no, s.added_event_no
  from unnest($1::int[], $2::text[], $3::int[], $4::text[], $5::text[])
       a (organization_no, category, set_no, first_key, last_key)
  join unnest($6::int[], $7::text[]) k (set_no, key) using (set_no)
 cross join lateral (
       select *
         from setting
        where setting.organization_no = a.organization_no
          and setting.category = a.category
          and setting.key = k.key
        limit 1
 ) s
 where a.first_key is null
    or (select true
          from setting
         where setting.organization_no = a.organization_no
           and setting.category = a.category
           and setting.key between a.first_key and a.last_key
         limit 1)
