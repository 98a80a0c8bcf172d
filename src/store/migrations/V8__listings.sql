-- What operators list, in a database of millions: indexes over the few rows that are not like most. They cost nothing
-- where an event is a setting's and accepted, and where a change is one of settings. None on jobs and settings.

-- Jobs of these kinds are found by their causes.
create index event_partnership on event (event_no) where type = 'partnership-changed';
create index change_beginning on change (change_no) where beginning is not null;
-- Events that came to nothing.
create index event_not_accepted on event (verdict, event_no) where verdict <> 'accepted';

-- How many jobs wait, without expanding every letter to a shard: those who became partners before all of an upstream's
-- waiting changes are counted once for all letters of the same kind to them. As many as waiting_job has rows.
create view waiting_job_count as
with to_shard as materialized (
     select l.letter_no, l.shard, coalesce(l.after_member_no, 0) as after_member_no, l.attempts > 0 as tried,
            c.organization_no as upstream_no, c.change_no, c.merges
       from letter l
       join change c on c.change_no = l.cause_no
      where l.organization_no is null
), alike as materialized (
     select upstream_no, shard, merges, after_member_no, tried, count(*) as letters, min(change_no) as first_change_no
       from to_shard
      group by upstream_no, shard, merges, after_member_no, tried
), late as materialized (
     select a.upstream_no, a.shard, a.merges, a.after_member_no, a.tried, p.since_change_no
       from alike a
       join partnership p
         on p.upstream_no = a.upstream_no
        and p.downstream_shard = a.shard
        and p.downstream_no > a.after_member_no
        and p.since_change_no >= a.first_change_no
        and (p.mode = 'strict' or (p.mode in ('non-exclusive', 'flexible') and a.merges))
), counted as (
     select tried, count(*) as jobs
       from (select attempts > 0 as tried from letter where organization_no is not null) l
      group by tried
     union all
     select a.tried, a.letters * count(*)
       from alike a
       join partnership p
         on p.upstream_no = a.upstream_no
        and p.downstream_shard = a.shard
        and p.downstream_no > a.after_member_no
        and p.since_change_no < a.first_change_no
        and (p.mode = 'strict' or (p.mode in ('non-exclusive', 'flexible') and a.merges))
      group by a.upstream_no, a.shard, a.merges, a.after_member_no, a.tried, a.letters
     union all
     select s.tried, count(*)
       from late
       join to_shard s
         on s.upstream_no = late.upstream_no
        and s.shard = late.shard
        and s.merges = late.merges
        and s.after_member_no = late.after_member_no
        and s.tried = late.tried
        and s.change_no > late.since_change_no
      group by s.tried
)
select coalesce(sum(jobs) filter (where not tried), 0)::bigint as pending,
       coalesce(sum(jobs) filter (where tried), 0)::bigint as retrying
  from counted;

-- As it was, but jobs that are chosen by their keys are looked up by both parts of these: by the cause alone, the planner
-- expected thousands, and read all events for one job.
create or replace function chosen_job(purpose text, causes bigint[], organizations int[], event bigint, upstream int,
                           organization int, in_category text, of_kind text, in_state text, with_error text,
                           since timestamptz, until timestamptz)
returns table (cause_no bigint, organization_no int, kind text, state text, error text, refusal text)
language sql stable
begin atomic
select j.cause_no,
       j.organization_no,
       j.kind,
       j.state,
       j.error,
       case
         when j.state = 'pending' then 'it waits to be done already'
         when j.found_wrong then 'its event was found wrong when it ran: see the rejected messages'
         when purpose = 'discard' and j.state in ('succeeded', 'discarded') then 'it has ' || j.state || ' already'
         when purpose = 'replay' and j.state = 'succeeded' and j.kind in ('own-change', 'partnership-change')
           then 'it has succeeded: done once more, it could undo what came later'
       end
  from (
       select f.cause_no,
              f.organization_no,
              case
                when c.beginning is not null then 'reconcile'
                when c.change_no is not null then 'sync-change'
                when e.type = 'partnership-changed' then 'partnership-change'
                else 'own-change'
              end as kind,
              f.state::text as state,
              f.last_error as error,
              f.state = 'discarded' and c.change_no is null and e.verdict = 'rejected' as found_wrong
         from job f
         left join change c on c.change_no = f.cause_no
         join event e on e.event_no = coalesce(c.event_no, f.cause_no)
        where (in_state is null or in_state <> 'retrying')
          and (in_state is distinct from 'failed' or f.state = 'failed')
          and (in_state is distinct from 'discarded' or f.state = 'discarded')
          and (in_state is distinct from 'succeeded' or f.state = 'succeeded')
          and (in_state is distinct from 'unfinished' or f.state = 'failed')
          and (causes is null or (f.cause_no = any (causes) and f.organization_no = any (organizations)))
          and (event is null
               or f.cause_no = any (array(select event
                                          union all
                                          select n.change_no from change n where n.event_no = event)))
          and (upstream is null
               or case when c.change_no is not null then c.organization_no
                       when e.type = 'partnership-changed' then e.organization_no end = upstream)
          and (organization is null or f.organization_no = organization)
          and (in_category is null or coalesce(c.category, e.category) = in_category)
          and (with_error is null or strpos(lower(f.last_error), lower(with_error)) > 0)
          and (since is null or f.finished_at >= since)
          and (until is null or f.finished_at <= until)
       union all
       select w.cause_no,
              w.organization_no,
              w.kind::text,
              case when w.attempts > 0 then 'retrying' else 'pending' end,
              w.last_error,
              false
         from waiting_job w
         left join change c on c.change_no = w.cause_no
         join event e on e.event_no = w.event_no
        where (in_state is null or in_state in ('retrying', 'unfinished'))
          and (w.attempts > 0 or causes is not null)
          and (causes is null or (w.cause_no = any (causes) and w.organization_no = any (organizations)))
          and (event is null or w.event_no = event)
          and (upstream is null
               or case when c.change_no is not null then c.organization_no
                       when e.type = 'partnership-changed' then e.organization_no end = upstream)
          and (organization is null or w.organization_no = organization)
          and (in_category is null or coalesce(c.category, e.category) = in_category)
          and (with_error is null or strpos(lower(w.last_error), lower(with_error)) > 0)
          and (since is null or w.created_at >= since)
          and (until is null or w.created_at <= until)
       ) j
 where (of_kind is null or j.kind = of_kind)
   and (causes is null
        or exists (select from unnest(causes, organizations) k (cause_no, organization_no)
                    where k.cause_no = j.cause_no and k.organization_no = j.organization_no));
end;
