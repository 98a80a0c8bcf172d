-- What is paused, all execution first, then organizations by name, and how many jobs wait for it. $1: after the
-- organization of this name ('': after all execution); $2: of this organization, and all execution; $3: at most so
-- many. The mailbox is small: no index.
select o.organization_id,
       p.paused_by,
       p.reason,
       p.paused_at,
       (select count(*)
          from waiting_job w
         where p.organization_no is null or w.organization_no = p.organization_no) as jobs_waiting
  from pause p
  left join organization o using (organization_no)
 where ($1::text is null or o.organization_id > $1)
   and ($2::int is null or p.organization_no is null or p.organization_no = $2)
 order by o.organization_id nulls first
 limit $3
