-- Jobs by state, of the results that are kept. Of very many finished ones the number is the planner's estimate, since
-- counting takes long. Index for the failed ones: job_not_succeeded.
with known as materialized (
     select coalesce(sum(greatest(reltuples, 0)), 0)::bigint as jobs
       from pg_inherits
       join pg_class on pg_class.oid = inhrelid
      where inhparent = 'channel_sync.job'::regclass
), counted as materialized (
     select jobs > 2000000 as many, jobs from known
), waiting as materialized (
     select pending, retrying from waiting_job_count
), unsuccessful as materialized (
     select count(*) filter (where state = 'failed') as failed,
            count(*) filter (where state = 'discarded') as discarded
       from job
      where state <> 'succeeded'
)
select waiting.pending,
       waiting.retrying,
       greatest(0, case when counted.many then counted.jobs else (select count(*) from job) end
                   - unsuccessful.failed - unsuccessful.discarded) as succeeded,
       unsuccessful.failed,
       unsuccessful.discarded,
       counted.many as succeeded_is_estimate
  from counted, waiting, unsuccessful
