-- What operators list, in a database of millions: indexes over the few rows that are not like most. They cost nothing
-- where an event is a setting's and accepted, and where a change is one of settings. None on jobs and settings.

-- Jobs of these kinds are found by their causes.
create index event_partnership on event (event_no) where type = 'partnership-changed';
create index change_beginning on change (change_no) where beginning is not null;
-- Events that came to nothing.
create index event_not_accepted on event (verdict, event_no) where verdict <> 'accepted';
-- Events of the last hour: they lie together.
create index event_received on event using brin (received_at);

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
