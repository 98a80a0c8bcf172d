-- Transactions in this database that have been open for longer than $1 seconds, the oldest first, $2 at most: they may
-- hold locks that jobs wait for, and keep the server from clearing away what is gone, so that everything becomes slower.
-- Of other users' sessions, only one who may read pg_stat_activity whole sees them.
select pid,
       coalesce(usename, '') as user_name,
       coalesce(application_name, '') as application,
       coalesce(state, '') as state,
       xact_start as since
  from pg_stat_activity
 where datname = current_database()
   and pid <> pg_backend_pid()
   and xact_start < clock_timestamp() - $1::bigint * interval '1 second'
 order by xact_start
 limit $2
