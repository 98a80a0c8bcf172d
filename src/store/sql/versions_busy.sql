-- Whose of these versions somebody else has locked; locks the others. Never waits. Index: category_version_pkey.
with wanted as materialized (
     select * from unnest($1::int[], $2::text[]) k (organization_no, category)
), free as materialized (
     select v.organization_no, v.category
       from wanted k
       join category_version v on v.organization_no = k.organization_no and v.category = k.category
        for update of v skip locked
)
select distinct organization_no
  from (select v.organization_no, v.category
          from wanted k
          join category_version v on v.organization_no = k.organization_no and v.category = k.category
        except
        select * from free) busy
