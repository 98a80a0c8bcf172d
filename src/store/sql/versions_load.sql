-- The largest versions seen. Index: category_version_pkey.
select v.organization_no, v.category, v.version
  from unnest($1::int[], $2::text[]) k (organization_no, category)
  join category_version v on v.organization_no = k.organization_no and v.category = k.category
