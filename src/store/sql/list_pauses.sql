-- What is paused, and how many jobs wait for it: counted once, not for each pause. The mailbox is small: no index.
with waiting as materialized (
     select organization_no, count(*) as jobs
       from waiting_job
      group by organization_no
)
select o.organization_id,
       p.paused_by,
       p.reason,
       p.paused_at,
       coalesce(case when p.organization_no is null then (select sum(jobs) from waiting) else w.jobs end,
                0)::bigint as jobs_waiting
  from pause p
  left join organization o using (organization_no)
  left join waiting w using (organization_no)
 order by p.organization_no nulls first
 limit $1
