-- Those of these shards with due letters of organizations that are not held, and how many and how heavy these are, as
-- far as looking at $2 a shard tells; none while all execution is paused. Where somebody in a shard is held, $3 letters
-- more are looked at. A shard is buried where those that must wait may hide others behind them: what it says of it
-- is not all then, see shards_due_buried. Indexes: letter_order, letter_attempted.
with held as materialized (
     select organization_no
       from letter
      where attempts > 0
        and run_at > now()
        and organization_no is not null
     union
     select organization_no
       from pause
      where organization_no is not null
)
select s.shard,
       least(l.letters, $2) as letters,
       l.weight::bigint,
       l.letters < $2 and l.looked_at = s.looks_at_max as buried
  from (select shard,
               $2::bigint + case when shard = any((select array_agg(organization_no % 16) from held)::int[])
                                 then $3::bigint
                                 else 0 end as looks_at_max
          from unnest($1::smallint[]) shard) s
 cross join lateral (
       select count(*) as looked_at,
              count(*) filter (where may_run) as letters,
              coalesce(sum(weight) filter (where may_run), 0) as weight
         from (select weight,
                      (attempts = 0 or run_at <= now())
                      and (organization_no is null or organization_no not in (select organization_no from held))
                      as may_run
                 from letter
                where letter.shard = s.shard
                limit s.looks_at_max) some_of_them
       ) l
 where (l.letters > 0 or l.looked_at = s.looks_at_max)
   and not exists (select from pause where organization_no is null)
