-- The first due letters of each shard that this transaction has locked: as many as $2, and as weigh $3
-- together; at least one a shard. Always the first of a shard, without gaps but for those of organizations that
-- are held ($4), which letters that are not due are of. A letter that was never tried is due, whatever the time:
-- one that another transaction wrote after this one had begun would be overtaken else. Index: letter_order.
--
-- What a letter weighs here is what it takes to load it. A heavy one is worked off in parts, so it counts for
-- no more than an eighth, and leaves room for those behind it; letters of one cause share what they say; and
-- a reconcile says nothing.
select l.letter_no, l.position, l.cause_no, l.event_no, l.kind::text, l.organization_no, l.shard,
       l.attempts_before + l.attempts as attempts, l.replay, l.weight, l.after_member_no, l.after_category,
       l.after_key, l.added, l.changed, l.removed, l.unchanged, l.kept_own, l.declined, l.overtaken
  from unnest($1::smallint[]) s (shard)
 cross join lateral (
       select d.*, sum(d.counted) over (order by d.position, d.cause_no, d.letter_no) - d.counted as before
         from (select first.*,
                      case
                        when kind = 'reconcile' then 0
                        when weight <= $3::bigint / 8 then weight
                        when row_number() over (partition by cause_no, weight > $3::bigint / 8
                                                order by position, letter_no) > 1 then 0
                        else $3::bigint / 8
                      end as counted
                 from (select *
                         from letter
                        where letter.shard = s.shard
                          and (attempts = 0 or run_at <= now())
                          and (organization_no is null or organization_no <> all($4::int[]))
                        order by position, cause_no, letter_no
                        limit $2) first) d
       ) l
 where l.before < $3::bigint
