-- Wakes the executors of all processes: once a transaction, since it takes a global lock at commit.
select pg_notify('channel_sync_letters', '')
