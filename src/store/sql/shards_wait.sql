-- Locks shards for this transaction, and waits until whoever works there has finished the batch at hand; in the
-- order of their numbers, so that no two that wait do so in a circle. An executor only tries: it gets no lock while
-- somebody waits for it.
select pg_advisory_xact_lock(25459, shard)
  from (select unnest($1::int[]) as shard order by 1) s
