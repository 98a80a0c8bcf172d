-- Settings of an organization, by category and key. $2: of this category; $3: keys that begin so; $4, $5:
-- after this category and key. Index: setting_pkey, in whose order they are read, no further than the limit.
select category, key, value, origin, locked, locked_by, event_id, updated_at
  from setting_view
 where organization_id = $1
   and ($2::text is null or category = $2)
   and ($3::text is null or starts_with(key, $3))
   and ($4::text is null or (category, key) > ($4, $5::text))
 order by category, key
 limit $6
