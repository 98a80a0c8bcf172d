-- What is paused, all execution first, then organizations by name, and how many jobs wait for it: counted once for all
-- of them, and for all execution without expanding letters. $1: after the organization of this name ('': after
-- all execution); $2: of this organization, and all execution; $3: at most so many. Indexes: partnership_downstream,
-- letter_organization.
with waiting as materialized (
     select organization_no, count(*) as jobs
       from waiting_job
      where organization_no = any (array(select organization_no
                                           from pause
                                          where organization_no is not null
                                            and ($2::int is null or organization_no = $2)))
      group by organization_no
)
select o.organization_id,
       p.paused_by,
       p.reason,
       p.paused_at,
       case
         when p.organization_no is null then (select pending + retrying from waiting_job_count)
         else coalesce(w.jobs, 0)
       end as jobs_waiting
  from pause p
  left join organization o using (organization_no)
  left join waiting w using (organization_no)
 where ($1::text is null or o.organization_id > $1)
   and ($2::int is null or p.organization_no is null or p.organization_no = $2)
 order by o.organization_id nulls first
 limit $3
