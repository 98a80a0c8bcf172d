-- Which of the partnership-changes given ($1, of an upstream $2 and a downstream $3, at a position $4) come behind a change
-- of that upstream that is on its way to the downstream's shard in a letter outside this batch ($5). Such a letter came
-- about since this batch took its own. Where the two have no partnership, nothing is on its way. Indexes:
-- partnership_pkey, letter_to_shard, change_pkey.
with asked as materialized (
     select a.letter_no, a.upstream_no, p.downstream_shard as shard, a.position
       from unnest($1::bigint[], $2::int[], $3::int[], $4::bigint[]) a (letter_no, upstream_no, downstream_no, position)
       join partnership p using (upstream_no, downstream_no)
),
ahead as materialized (
     select last.shard, c.organization_no as upstream_no, min(l.position) as position
       from (select shard, max(position) as position from asked group by shard) last
      cross join lateral (
            select l.position, l.cause_no
              from letter l
             where l.shard = last.shard
               and l.position < last.position
               and l.organization_no is null
               and l.letter_no <> all($5::bigint[])
            offset 0
            ) l
       join change c on c.change_no = l.cause_no
      group by last.shard, c.organization_no
)
select asked.letter_no
  from asked
  join ahead using (shard, upstream_no)
 where ahead.position < asked.position
