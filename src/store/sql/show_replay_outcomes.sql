-- What became of the jobs that a replay ($1) has sent: their rows, where they are done again; else they wait, some of
-- them for a pause to end. Indexes: replay_job_pkey, job_pkey.
select case
         when j.state is not null then j.state::text
         when exists (select from pause p
                       where p.organization_no is null or p.organization_no = r.organization_no) then 'paused'
         else 'waiting'
       end as outcome,
       count(*) as jobs
  from replay_job r
  left join job j on j.cause_no = r.cause_no and j.organization_no = r.organization_no
 where r.replay_no = $1
   and r.state = 'sent'
 group by 1
 order by 1
