-- What waits for an organization ($1), in the order in which it is worked off, and how much that is in all; at most $2.
-- Letters to it, and letters to all downstreams in its shard that it belongs to, as in waiting_job. The mailbox is
-- small; index: partnership_pkey for the second, event_pkey and change_pkey for what the letters are about.
select l.cause_no,
       e.event_id,
       e.source,
       l.kind::text,
       upstream.organization_id as upstream_id,
       coalesce(c.category, e.category) as category,
       l.attempts,
       l.last_error,
       l.created_at,
       l.run_at,
       count(*) over () as jobs_total
  from (select position, cause_no, letter_no, event_no, kind, attempts_before + attempts as attempts, last_error,
               created_at, run_at
          from letter
         where organization_no = $1::int
        union all
        select l.position, l.cause_no, l.letter_no, l.event_no, l.kind, l.attempts_before + l.attempts, l.last_error,
               l.created_at, l.run_at
          from letter l
          join change c on c.change_no = l.cause_no
          join partnership p
            on p.upstream_no = c.organization_no
           and p.downstream_no = $1
           and p.downstream_shard = l.shard
           and p.downstream_no > coalesce(l.after_member_no, 0)
           and p.since_change_no < c.change_no
           and (p.mode = 'strict' or (p.mode in ('non-exclusive', 'flexible') and c.merges))
         where l.organization_no is null) l
  join event e on e.event_no = l.event_no
  left join change c on c.change_no = l.cause_no
  left join organization upstream
    on upstream.organization_no = case
         when c.change_no is not null then c.organization_no
         when e.type = 'partnership-changed' then e.organization_no
       end
 order by l.position, l.cause_no, l.letter_no
 limit $2
