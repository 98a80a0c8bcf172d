-- The entries of these keys. Index: setting_pkey.
select s.organization_no, s.category, s.key, s.value_id, s.origin_no, s.event_no, s.added_event_no
  from unnest($1::int[], $2::text[], $3::text[]) k (organization_no, category, key)
  join setting s
    on s.organization_no = k.organization_no and s.category = k.category and s.key = k.key
