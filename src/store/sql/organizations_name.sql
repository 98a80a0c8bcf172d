-- The names of organizations, for messages to people. Index: organization_pkey.
select organization_no, organization_id
  from organization
 where organization_no = any($1::int[])
