-- Locks shards against writing, for reading organizations in them; those that nobody writes to. Never waits.
select shard from unnest($1::smallint[]) shard where pg_try_advisory_xact_lock_shared(25459, shard)
