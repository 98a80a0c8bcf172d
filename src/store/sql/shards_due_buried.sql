-- As shards_due, where many letters of those who are held wait in front: looks into one mailbox after another, and
-- passes over theirs, until $2 letters are found. What it costs does not depend on how many letters theirs hold. The
-- mailboxes are found by their numbers: those of a shard have the same remainder. One of another shard may be found
-- where there is none before it; from there on the next number of this shard is looked for. Indexes:
-- letter_organization, letter_to_shard, letter_attempted.
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
       with recursive mailbox (organization_no) as (
            select s.shard - 16
            union all
            select next.organization_no
              from mailbox
             cross join lateral (
                   select organization_no
                     from letter
                    where letter.organization_no
                          >= mailbox.organization_no + 16 - (mailbox.organization_no - s.shard) % 16
                    order by organization_no, position
                    limit 1
             ) next
       )
       select count(*) as letters, coalesce(sum(weight), 0) as weight
         from (select l.weight
                 from mailbox
                cross join lateral (
                      select weight
                        from letter
                       where letter.organization_no = mailbox.organization_no
                         and (attempts = 0 or run_at <= now())
                       limit $2
                ) l
                where (mailbox.organization_no - s.shard) % 16 = 0
                  and mailbox.organization_no not in (select organization_no from held)
               union all
              (select weight
                 from letter
                where letter.shard = s.shard
                  and organization_no is null
                  and (attempts = 0 or run_at <= now())
                limit $2)
                limit $2) some_of_them
 ) l
 where l.letters > 0
   and not exists (select from pause where organization_no is null)
