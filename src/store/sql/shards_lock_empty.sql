-- Locks for this transaction those of these shards that hold no letter and that nobody else has locked; never waits.
-- What is filtered first is what the `offset` is for: a shard with letters must not be locked, not for a moment. One
-- letter is looked for in each shard: `exists` may be answered by reading all letters there are. Index: letter_order.
select shard
  from (select shard
          from unnest($1::smallint[]) s (shard)
         where (select true from letter where letter.shard = s.shard limit 1) is null
        offset 0) empty
 where pg_try_advisory_xact_lock(25459, shard)
