-- An operator's transaction waits for locks longer than a worker's does.
select set_config('lock_timeout', '30s', true)
