-- While one failing job is looked for among many, locked rows are not waited for long.
select set_config('lock_timeout', '100ms', true)
