-- The number of an organization. Index: organization_organization_id_key.
select organization_no
  from organization
 where organization_id = $1
