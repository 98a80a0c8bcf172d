-- As letters_take, where many letters of those who are held ($3) may wait in front: looks into each mailbox of the
-- shard, see shards_due_buried, and passes over theirs. What it costs does not depend on how many letters theirs hold.
-- Only the $2 mailboxes that begin the earliest can hold any of the first $2 letters; those that begin at one position
-- may all. Indexes: letter_organization, letter_to_shard.
select l.letter_no, l.position, l.cause_no, l.event_no, l.kind::text, l.organization_no, l.shard,
       l.attempts_before + l.attempts as attempts, l.replay, l.weight, l.after_member_no, l.after_category,
       l.after_key, l.added, l.changed, l.removed, l.unchanged, l.kept_own, l.declined, l.overtaken
  from unnest($1::smallint[]) s (shard)
 cross join lateral (
       with recursive mailbox (organization_no, position) as (
            select s.shard - 16, null::bigint
            union all
            select next.organization_no, next.position
              from mailbox
             cross join lateral (
                   select organization_no, position
                     from letter
                    where letter.organization_no
                          >= mailbox.organization_no + 16 - (mailbox.organization_no - s.shard) % 16
                    order by organization_no, position
                    limit 1
             ) next
       )
       select l.*
         from (select organization_no
                 from mailbox
                where (organization_no - s.shard) % 16 = 0
                  and position is not null
                  and organization_no <> all($3::int[])
                order by position
                fetch first $2 rows with ties) earliest
        cross join lateral (
              select *
                from letter
               where letter.organization_no = earliest.organization_no
                 and (attempts = 0 or run_at <= now())
               order by position, cause_no, letter_no
               limit $2
        ) l
        union all
       (select *
          from letter
         where letter.shard = s.shard
           and organization_no is null
           and (attempts = 0 or run_at <= now())
         order by position, cause_no, letter_no
         limit $2)
        order by position, cause_no, letter_no
        limit $2
 ) l
