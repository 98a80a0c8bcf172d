-- How long this transaction waits for locked rows. And it reads no table as a whole where there is an index: a table
-- that is almost empty when a statement is planned may be large before it ends, as others fill it.
select set_config('lock_timeout', $1, true), set_config('enable_seqscan', 'off', true)
