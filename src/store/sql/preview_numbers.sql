-- The largest numbers that are in use: of events and changes, and of organizations. Indexes: event_pkey,
-- change_pkey, organization_pkey.
select greatest((select max(event_no) from event), (select max(change_no) from change), 0) as number,
       coalesce((select max(organization_no) from organization), 0) as organization_no
