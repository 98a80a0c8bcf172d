-- Events that were found wrong when they ran ($1) are to run once more: they are accepted again, and each gets a letter,
-- a replay at its own place. That comes in the place of the job that was discarded, whose attempts go on counting; where
-- the results of its day were dropped, there is none any more. Returns which events. A letter weighs as many entries as
-- it may write. The caller has locked the shards, so that nobody works there. Indexes: event_pkey, job_pkey.
with again as (
     update event
        set verdict = 'accepted'
      where event_no = any ($1::bigint[])
        and verdict = 'rejected'
     returning event_no, type, payload, coalesce(downstream_no, organization_no) as organization_no
), gone as (
     delete from job j
      using again a
      where j.cause_no = any ($1)
        and j.cause_no = a.event_no
        and j.organization_no = a.organization_no
     returning j.cause_no, j.attempts
), added as (
     insert into letter (shard, position, cause_no, event_no, kind, organization_no, weight, replay, attempts_before)
     select (a.organization_no % 16)::smallint,
            a.event_no,
            a.event_no,
            a.event_no,
            case a.type when 'partnership-changed' then 'partnership-change' else 'own-change' end::job_kind,
            a.organization_no,
            coalesce(json_array_length(a.payload -> 'changes'), json_array_length(a.payload -> 'snapshot'), 1),
            true,
            coalesce(g.attempts, 0)
       from again a
       left join gone g on g.cause_no = a.event_no
      order by a.event_no
)
select event_no from again
