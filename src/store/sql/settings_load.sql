-- The entries of organizations ($1) in categories ($2) under the keys of a set ($3). What the sets hold: $4, $5. In a
-- fan-out all organizations ask for the same keys: these are sent once. Index: setting_pkey, for each key by itself,
-- however small the table is thought to be: that is what the `limit` is for.
select s.organization_no, s.category, s.key, s.value_id, s.origin_no, s.event_no, s.added_event_no
  from unnest($1::int[], $2::text[], $3::int[]) a (organization_no, category, set_no)
  join unnest($4::int[], $5::text[]) k (set_no, key) using (set_no)
 cross join lateral (
       select *
         from setting
        where setting.organization_no = a.organization_no
          and setting.category = a.category
          and setting.key = k.key
        limit 1
 ) s
