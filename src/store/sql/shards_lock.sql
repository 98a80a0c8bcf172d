-- Locks shards for this transaction, the first $2 in the order given that nobody has locked. Never waits. The locks are
-- gone with the transaction, whatever ends it. 0x6373 ("cs") tells them from other programs' advisory locks.
select shard from unnest($1::smallint[]) shard where pg_try_advisory_xact_lock(25459, shard) limit $2::bigint
