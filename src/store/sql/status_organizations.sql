-- How many organizations there are, and partnerships by mode.
select 'organizations' as what, count(*)
  from organization
union all
(select mode::text, count(*)
   from partnership
  group by mode
  order by mode)
