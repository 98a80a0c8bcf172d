-- Who of these organizations ($1) has jobs that wait or is paused, those with most jobs first; at most $2. And how
-- many jobs wait for all of them, for how many of them, and whether all execution is paused: in each row, and in one
-- without an organization where there is no other. The mailbox is small. Index: organization_pkey.
with waiting as materialized (
     select w.organization_no, count(*) as jobs
       from waiting_job w
      where w.organization_no = any($1::int[])
      group by w.organization_no
),
concerned as (
     select o.organization_id, coalesce(w.jobs, 0) as jobs, p.organization_no is not null as paused
       from unnest($1::int[]) no
       join organization o on o.organization_no = no
       left join waiting w on w.organization_no = no
       left join pause p on p.organization_no = no
      where w.jobs > 0 or p.organization_no is not null
)
select c.organization_id, c.jobs, c.paused, t.jobs_total, t.organizations_total,
       exists (select from pause where organization_no is null) as everything_paused
  from (select coalesce(sum(jobs), 0)::bigint as jobs_total, count(*) as organizations_total from concerned) t
  left join lateral (
       select * from concerned order by jobs desc, organization_id limit $2
       ) c on true
 order by c.jobs desc, c.organization_id
