-- What is paused, and how many jobs wait for it. The mailbox is small: no index.
select o.organization_id,
       p.paused_by,
       p.reason,
       p.paused_at,
       (select count(*)
          from waiting_job w
         where p.organization_no is null or w.organization_no = p.organization_no) as jobs_waiting
  from pause p
  left join organization o using (organization_no)
 order by p.organization_no nulls first
 limit $1
