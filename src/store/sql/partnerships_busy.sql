-- Whose of these partnerships somebody else has locked; locks the others. Never waits. Index: partnership_pkey.
with wanted as materialized (
     select * from unnest($1::int[], $2::int[]) k (upstream_no, downstream_no)
), free as materialized (
     select p.upstream_no, p.downstream_no
       from wanted k
       join partnership p on p.upstream_no = k.upstream_no and p.downstream_no = k.downstream_no
        for update of p skip locked
)
select distinct downstream_no as organization_no
  from (select p.upstream_no, p.downstream_no
          from wanted k
          join partnership p on p.upstream_no = k.upstream_no and p.downstream_no = k.downstream_no
        except
        select * from free) busy
