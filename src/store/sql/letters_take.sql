-- The first due letters of each shard that this transaction has locked: as many as $2, and as weigh $3
-- together; at least one a shard. Always the first of a shard, without gaps but for those of organizations that
-- are held ($4), which letters that are not due are of. A letter that was never tried is due, whatever the time:
-- one that another transaction wrote after this one had begun would be overtaken else. Index: letter_order.
select l.letter_no, l.position, l.cause_no, l.event_no, l.kind::text, l.organization_no, l.shard, l.attempts
  from unnest($1::smallint[]) s (shard)
 cross join lateral (
       select d.*, sum(d.weight) over (order by d.position, d.cause_no, d.letter_no) - d.weight as before
         from (select *
                 from letter
                where letter.shard = s.shard
                  and (attempts = 0 or run_at <= now())
                  and (organization_no is null or organization_no <> all($4::int[]))
                order by position, cause_no, letter_no
                limit $2) d
       ) l
 where l.before < $3::bigint
