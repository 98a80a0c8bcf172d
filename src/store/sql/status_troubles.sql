-- Errors of the jobs that are retried or have failed, the most frequent first, with one job as an example.
-- Index: job_not_succeeded.
select state,
       last_error as error,
       count(*) as jobs,
       (array_agg(cause_no || '-' || organization_no order by cause_no, organization_no))[1] as example,
       min(run_at) as next_run_at
  from (select 'failed' as state, last_error, cause_no, organization_no, null::timestamptz as run_at
          from job
         where state = 'failed'
        union all
        select 'retrying', coalesce(last_error, ''), cause_no, organization_no, run_at
          from waiting_job
         where attempts > 0) j
 group by state, last_error
 order by jobs desc, state, error
 limit $1
