-- How many partnerships are kept in sync, for how many of them jobs wait or have failed, how many jobs, and since when
-- the oldest waits. Reads the mailbox, the partnerships and the failed jobs (partnership_lag). Put together as in
-- list_freshness.sql. Index: job_not_succeeded.
select count(*) as partnerships,
       count(*) filter (where l.jobs_waiting > 0) as waiting,
       count(*) filter (where l.jobs_failed > 0) as failed,
       count(*) filter (where l.jobs_waiting > 0 or l.jobs_failed > 0) as behind,
       coalesce(sum(l.jobs_waiting), 0)::bigint as jobs_waiting,
       coalesce(sum(l.jobs_failed), 0)::bigint as jobs_failed,
       min(l.oldest_waiting_at) as oldest_waiting_at
  from (
       select sum(jobs_waiting) as jobs_waiting,
              sum(jobs_failed) as jobs_failed,
              min(oldest_at) filter (where jobs_waiting > 0) as oldest_waiting_at
         from (
              select upstream_no, downstream_no, 0 as jobs_waiting, 0 as jobs_failed, null as oldest_at, true as is_kept
                from partnership
               where mode <> 'off'
               union all
              select upstream_no, downstream_no, jobs_waiting, jobs_failed, oldest_at, false
                from partnership_lag
              ) part
        group by upstream_no, downstream_no
       having bool_or(is_kept)
       ) l
