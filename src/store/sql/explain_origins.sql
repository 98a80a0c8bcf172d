-- How many settings of a category ($2) an organization ($1) has, by origin. Index: setting_pkey.
select coalesce(upstream.organization_id, 'own') as origin, count(*)
  from setting s
  left join organization upstream on upstream.organization_no = s.origin_no
 where s.organization_no = $1
   and s.category = $2
 group by 1
 order by 2 desc, 1
