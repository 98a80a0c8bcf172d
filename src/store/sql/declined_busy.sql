-- Whose of these declined records somebody else has locked; locks the others. Never waits. Index: declined_pkey.
with wanted as materialized (
     select *
       from unnest($1::int[], $2::int[], $3::text[], $4::text[]) k (downstream_no, upstream_no, category, key)
), free as materialized (
     select d.downstream_no, d.upstream_no, d.category, d.key
       from wanted k
       join declined d
         on d.downstream_no = k.downstream_no
        and d.upstream_no = k.upstream_no
        and d.category = k.category
        and d.key = k.key
        for update of d skip locked
)
select distinct downstream_no as organization_no
  from (select d.downstream_no, d.upstream_no, d.category, d.key
          from wanted k
          join declined d
            on d.downstream_no = k.downstream_no
           and d.upstream_no = k.upstream_no
           and d.category = k.category
           and d.key = k.key
        except
        select * from free) busy
