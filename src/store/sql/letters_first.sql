-- The first letter of each of these organizations. Index: letter_organization.
select distinct on (organization_no) letter_no
  from letter
 where organization_no = any($1::int[])
 order by organization_no, position, cause_no, letter_no
