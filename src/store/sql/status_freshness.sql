-- How many partnerships are kept in sync, for how many of them jobs wait or have failed, how many jobs, and since when
-- the oldest waits. Reads the mailbox, the partnerships and the failed jobs (partnership_lag). Index: job_not_succeeded.
select count(*) as partnerships,
       count(*) filter (where l.jobs_waiting > 0) as waiting,
       count(*) filter (where l.jobs_failed > 0) as failed,
       count(*) filter (where l.jobs_waiting > 0 or l.jobs_failed > 0) as behind,
       coalesce(sum(l.jobs_waiting), 0)::bigint as jobs_waiting,
       coalesce(sum(l.jobs_failed), 0)::bigint as jobs_failed,
       min(l.oldest_waiting_at) as oldest_waiting_at
  from partnership p
  left join (
       select upstream_no,
              downstream_no,
              sum(jobs_waiting) as jobs_waiting,
              sum(jobs_failed) as jobs_failed,
              min(oldest_at) filter (where jobs_waiting > 0) as oldest_waiting_at
         from partnership_lag
        group by 1, 2
       ) l using (upstream_no, downstream_no)
 where p.mode <> 'off'
