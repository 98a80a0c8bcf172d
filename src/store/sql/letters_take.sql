-- The first due letters of each shard that this transaction has locked, as many as $2, among the first $4 (null: among
-- all). Without gaps but for those of organizations that are held ($3), which letters that are not due are of. A letter
-- that was never tried is due, whatever the time: one that another transaction wrote after this one had begun would be
-- overtaken else. Where many wait of those who are held: see letters_take_buried. Index: letter_order.
select l.letter_no, l.position, l.cause_no, l.event_no, l.kind::text, l.organization_no, l.shard,
       l.attempts_before + l.attempts as attempts, l.replay, l.weight, l.after_member_no, l.after_category,
       l.after_key, l.added, l.changed, l.removed, l.unchanged, l.kept_own, l.declined, l.overtaken
  from unnest($1::smallint[]) s (shard)
 cross join lateral (
       select *
         from (select *
                 from letter
                where letter.shard = s.shard
                order by position, cause_no, letter_no
                limit $4) first
        where (attempts = 0 or run_at <= now())
          and (organization_no is null or organization_no <> all($3::int[]))
        order by position, cause_no, letter_no
        limit $2
 ) l
