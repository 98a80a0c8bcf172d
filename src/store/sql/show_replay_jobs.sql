-- The jobs of a replay ($1) that were refused or have failed again, with why, grouped: the largest groups first, $2 at
-- most. Indexes: replay_job_pkey, job_pkey.
select case r.state when 'refused' then 'refused' else 'failed' end as outcome,
       case r.state when 'refused' then r.reason else j.last_error end as reason,
       count(*) as jobs,
       (array_agg(r.cause_no || '-' || r.organization_no order by r.cause_no, r.organization_no))[1] as example
  from replay_job r
  left join job j
    on j.cause_no = r.cause_no
   and j.organization_no = r.organization_no
   and j.state = 'failed'
 where r.replay_no = $1
   and (r.state = 'refused' or (r.state = 'sent' and j.state is not null))
 group by 1, 2
 order by jobs desc, outcome, reason
 limit $2
