-- How many entries organizations have: how heavy a reconcile is. Index: setting_pkey.
select organization_no, count(*) as entries
  from setting
 where organization_no = any($1::int[])
 group by organization_no
