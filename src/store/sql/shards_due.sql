-- Shards with due letters, and how many and how heavy these are, up to $2 a shard. Index: letter_order.
select s.shard, l.letters, l.weight::bigint
  from (select no::smallint from generate_series(0, $1::smallint - 1) no) s (shard)
 cross join lateral (
       select count(*) as letters, coalesce(sum(weight), 0) as weight
         from (select weight
                 from letter
                where letter.shard = s.shard
                  and run_at <= now()
                order by position, cause_no, letter_no
                limit $2) first
       ) l
 where l.letters > 0
