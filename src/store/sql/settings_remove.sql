-- Entries that are no longer there. Index: setting_pkey.
delete from setting s
 using unnest($1::int[], $2::text[], $3::text[]) k (organization_no, category, key)
 where s.organization_no = k.organization_no and s.category = k.category and s.key = k.key
