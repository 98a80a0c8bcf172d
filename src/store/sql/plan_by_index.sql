-- This transaction goes through indexes, in their order: it reads no table as a whole, which may be almost empty when a
-- statement is planned and large before it ends, as others fill it; and no bitmap of all that waits in a shard, where
-- the first letters will do, nor one that leaves the entries of letters that are gone for the next one to go through.
select set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true)
