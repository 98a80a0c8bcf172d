-- The numbers of organizations that are known. Index: organization_organization_id_key.
select organization_id, organization_no
  from organization
 where organization_id = any($1::text[])
