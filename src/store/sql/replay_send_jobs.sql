-- Finished jobs become letters again, at the place of their root event; the key (cause and organization) stays, and so
-- does the count of attempts. $1, $2, $3: cause, organization, and the state that the job had when it was chosen:
-- one that is not in it any more is left alone. The caller has locked the shards, so that nobody works there.
-- A letter weighs as many entries as it may write. Indexes: job_pkey, change_pkey, event_pkey, setting_pkey.
with gone as (
     delete from job j
      using unnest($1::bigint[], $2::int[], $3::text[]) k (cause_no, organization_no, was)
      where j.cause_no = k.cause_no
        and j.organization_no = k.organization_no
        and j.state::text = k.was
     returning j.cause_no, j.organization_no, j.attempts,
               j.added + j.changed + j.removed > 0 as had_effect
), added as (
     insert into letter (shard, position, cause_no, event_no, kind, organization_no, weight, replay, attempts_before)
     select (g.organization_no % 16)::smallint,
            e.event_no,
            g.cause_no,
            e.event_no,
            case
              when c.beginning is not null then 'reconcile'
              when c.change_no is not null then 'sync-change'
              when e.type = 'partnership-changed' then 'partnership-change'
              else 'own-change'
            end::job_kind,
            g.organization_no,
            case
              when c.beginning is not null
                then (select count(*) from setting s
                       where s.organization_no in (c.organization_no, c.downstream_no))
              else coalesce(json_array_length(c.payload), json_array_length(e.payload -> 'changes'),
                            json_array_length(e.payload -> 'snapshot'), 1)
            end,
            true,
            g.attempts
       from gone g
       left join change c on c.change_no = g.cause_no
       join event e on e.event_no = coalesce(c.event_no, g.cause_no)
      order by e.event_no, g.cause_no, g.organization_no
)
select cause_no, organization_no, had_effect from gone
