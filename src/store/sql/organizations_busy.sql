-- Which of these organizations' rows somebody else has locked; locks the others. Never waits.
-- Index: organization_pkey.
with free as materialized (
     select organization_no from organization where organization_no = any($1::int[]) for update skip locked
)
select organization_no from organization where organization_no = any($1::int[])
except
select organization_no from free
