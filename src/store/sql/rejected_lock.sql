-- Locks rejected messages, by a part of what tells each from others, until the transaction ends: the same one is
-- stored by one transaction after the other. Waits. Sorted by the caller, so that two wait for each other in one
-- order. 0x6374 ("ct") tells these locks from those on shards.
select pg_advisory_xact_lock(25460, key) from unnest($1::int[]) key
