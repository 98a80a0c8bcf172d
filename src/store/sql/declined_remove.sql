-- Declined records that no longer hold. Index: declined_pkey.
delete from declined d
 using unnest($1::int[], $2::int[], $3::text[], $4::text[]) k (downstream_no, upstream_no, category, key)
 where d.downstream_no = k.downstream_no and d.upstream_no = k.upstream_no
   and d.category = k.category and d.key = k.key
