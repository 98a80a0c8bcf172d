-- One process at a time makes and drops days. Never waits: whoever comes second leaves it to the first.
select pg_try_advisory_xact_lock(25459, -4)
