-- The events that set the flags of an organization's partnerships as a downstream ($1), the last first, at most $2,
-- with the number of the job that did: jobs of one organization have numbers in the order in which they were done.
-- Indexes: job_organization, event_pkey.
select e.organization_no as upstream_no, e.payload::text as flags, j.job_no
  from job j
  join event e on e.event_no = j.cause_no
 where j.organization_no = $1
   and j.state = 'succeeded'
   and e.type = 'partnership-changed'
   and e.verdict = 'accepted'
 order by j.job_no desc
 limit $2
