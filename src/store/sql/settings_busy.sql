-- Whose of these entries somebody else has locked; locks the others. Never waits. Index: setting_pkey.
with wanted as materialized (
     select * from unnest($1::int[], $2::text[], $3::text[]) k (organization_no, category, key)
), free as materialized (
     select s.organization_no, s.category, s.key
       from wanted k
       join setting s
         on s.organization_no = k.organization_no and s.category = k.category and s.key = k.key
        for update of s skip locked
)
select distinct organization_no
  from (select s.organization_no, s.category, s.key
          from wanted k
          join setting s
            on s.organization_no = k.organization_no and s.category = k.category and s.key = k.key
        except
        select * from free) busy
