-- Comparing strict partnerships with their upstreams, putting them right, and how far behind each partnership is.

-- What an operator has put right: a reconcile that no change of flags has begun.
alter type partnership_beginning add value 'repair';

-- The last change of an organization in a category, before another one. While it is built, nothing is written there.
create index change_category on change (organization_no, category, change_no) where category is not null;

-- What each partnership still lacks, by category; a reconcile, whose category is null, concerns all. Jobs that wait,
-- jobs that have failed and that no reconcile has taken in since, the first change among them and when it was made,
-- and when a job that is tried again runs. Letters to a shard are grouped before they are expanded, so that what it
-- costs grows with the letters and with the partnerships, not with both at once. Which of them reach a partnership:
-- as in waiting_job.
create view partnership_lag as
with fan_out as (
     select l.shard,
            c.organization_no as upstream_no,
            c.category,
            c.merges,
            coalesce(l.after_member_no, 0) as after_member_no,
            count(*) as jobs,
            min(c.change_no) as first_change_no,
            max(c.change_no) as last_change_no,
            min(c.made_at) as oldest_at
       from letter l
       join change c on c.change_no = l.cause_no
      where l.organization_no is null
      group by 1, 2, 3, 4, 5
)
select p.upstream_no,
       p.downstream_no,
       f.category,
       due.jobs as jobs_waiting,
       0::bigint as jobs_failed,
       due.first_change_no,
       due.oldest_at,
       null::timestamptz as retry_at
  from fan_out f
  join partnership p
    on p.upstream_no = f.upstream_no
   and p.downstream_shard = f.shard
   and p.downstream_no > f.after_member_no
   and p.since_change_no < f.last_change_no
   and (p.mode = 'strict' or (p.mode in ('non-exclusive', 'flexible') and f.merges))
 cross join lateral (
       select f.jobs, f.first_change_no, f.oldest_at
        where p.since_change_no < f.first_change_no
       union all
       -- Some of them were made before the partnership began.
       select count(*), min(c.change_no), min(c.made_at)
         from letter l
         join change c on c.change_no = l.cause_no
        where l.shard = f.shard
          and l.organization_no is null
          and coalesce(l.after_member_no, 0) = f.after_member_no
          and c.organization_no = f.upstream_no
          and c.category = f.category
          and c.merges = f.merges
          and c.change_no > p.since_change_no
       having p.since_change_no >= f.first_change_no
       ) due
union all
select c.organization_no,
       l.organization_no,
       c.category,
       count(*),
       0,
       min(c.change_no),
       min(c.made_at),
       min(l.run_at) filter (where l.attempts > 0)
  from letter l
  join change c on c.change_no = l.cause_no
 where l.organization_no is not null
 group by 1, 2, 3
union all
select c.organization_no,
       j.organization_no,
       c.category,
       0,
       count(*),
       min(c.change_no),
       min(c.made_at),
       null
  from job j
  join change c on c.change_no = j.cause_no
  join partnership p on p.upstream_no = c.organization_no and p.downstream_no = j.organization_no
 where j.state = 'failed'
   and p.mode <> 'off'
   and case
         when c.beginning is null then c.change_no > p.since_change_no
         else not exists (select
                            from (select cause_no
                                    from job
                                   where organization_no = j.organization_no
                                     and cause_no > j.cause_no
                                     and state = 'succeeded'
                                     -- Looked up one by one: a join could read all changes.
                                  offset 0) later
                            join change began on began.change_no = later.cause_no
                           where began.organization_no = c.organization_no
                             and began.beginning is not null)
       end
 group by 1, 2, 3;
