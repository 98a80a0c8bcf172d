-- Those of these shards with due letters of organizations that are not held, and how many and how heavy these are, as far as
-- looking at $2 a shard tells; none while all execution is paused. Indexes: letter_order, letter_attempted.
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
select s.shard, l.letters, l.weight::bigint
  from unnest($1::smallint[]) s (shard)
 cross join lateral (
       select count(*) as letters, coalesce(sum(weight), 0) as weight
         from (select weight
                 from letter
                where letter.shard = s.shard
                  and (attempts = 0 or run_at <= now())
                  and (organization_no is null or organization_no not in (select organization_no from held))
                limit $2) some_of_them
       ) l
 where l.letters > 0
   and not exists (select from pause where organization_no is null)
