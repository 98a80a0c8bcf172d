-- How long this transaction waits for locked rows.
select set_config('lock_timeout', $1, true)
