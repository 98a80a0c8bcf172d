-- Jobs by state. Of very many finished ones the number is the planner's estimate, since counting takes long.
-- Index for the failed ones: job_not_succeeded.
with known as materialized (
     select reltuples > 2000000 as many, reltuples::bigint as jobs
       from pg_class
      where oid = 'channel_sync.job'::regclass
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
       greatest(0, case when known.many then known.jobs else (select count(*) from job) end
                   - unsuccessful.failed - unsuccessful.discarded) as succeeded,
       unsuccessful.failed,
       unsuccessful.discarded,
       known.many as succeeded_is_estimate
  from known, waiting, unsuccessful
