-- All entries of these categories. Index: setting_pkey.
select s.organization_no, s.category, s.key, s.value_id, s.origin_no, s.event_no, s.added_event_no
  from unnest($1::int[], $2::text[]) k (organization_no, category)
  join setting s on s.organization_no = k.organization_no and s.category = k.category
