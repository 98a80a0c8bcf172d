-- Which of these shards hold no letter. The caller has locked them: what it adds there comes first. One letter is looked
-- for in each: see shards_lock_empty. Index: letter_order.
select shard
  from unnest($1::smallint[]) s (shard)
 where (select true from letter where letter.shard = s.shard limit 1) is null
