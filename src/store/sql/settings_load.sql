-- The entries of these keys. Index: setting_pkey, for each key by itself, however small the table is thought to be:
-- that is what the `limit` is for.
select s.organization_no, s.category, s.key, s.value_id, s.origin_no, s.event_no, s.added_event_no
  from unnest($1::int[], $2::text[], $3::text[]) k (organization_no, category, key)
 cross join lateral (
       select *
         from setting
        where setting.organization_no = k.organization_no
          and setting.category = k.category
          and setting.key = k.key
        limit 1
 ) s
