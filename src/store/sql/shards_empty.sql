-- Which of these shards hold no letter. The caller has locked them: what it adds there comes first. Index:
-- letter_order.
select shard
  from unnest($1::smallint[]) s (shard)
 where not exists (select from letter where letter.shard = s.shard)
