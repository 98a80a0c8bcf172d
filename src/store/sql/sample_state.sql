-- What is parked, paused or sent, and how long the oldest transaction has been open, for the metrics. Looks at what is
-- not done alone. And how many days of results are kept, and have a partition ahead. Indexes: job_not_succeeded,
-- replay_running. Of other users' transactions, only one who may read
-- pg_stat_activity whole sees when they began.
select (select count(*) from job where state = 'failed') as jobs_failed,
       (select count(*) from pause where organization_no is not null) as organizations_paused,
       exists (select from pause where organization_no is null) as everything_paused,
       coalesce((select extract(epoch from now() - min(paused_at)) from pause), 0)::float8 as oldest_pause_seconds,
       (select count(*) from replay where state = 'running') as replays_running,
       (select coalesce(sum(total - sent - refused), 0) from replay where state = 'running')::bigint
         as replay_jobs_waiting,
       (select count(*) from job_day where dropped_at is null) as days_kept,
       (select count(*) from pg_inherits where inhparent = 'channel_sync.job'::regclass)
         - 1 - (select count(*) from job_day where dropped_at is null) as days_ahead,
       coalesce((select extract(epoch from clock_timestamp() - min(xact_start))
                   from pg_stat_activity
                  where datname = current_database()
                    and pid <> pg_backend_pid()), 0)::float8 as oldest_transaction_seconds
