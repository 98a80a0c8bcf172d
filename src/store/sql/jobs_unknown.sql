-- Which of the jobs named there are not, neither finished nor waiting. Indexes: job_pkey, letter_event.
select k.cause_no, k.organization_no
  from unnest($1::bigint[], $2::int[]) k (cause_no, organization_no)
 where not exists (select from job j where j.cause_no = k.cause_no and j.organization_no = k.organization_no)
   and not exists (select from waiting_job w
                    where w.cause_no = k.cause_no and w.organization_no = k.organization_no)
 limit 10
