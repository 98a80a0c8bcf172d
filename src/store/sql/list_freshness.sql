-- How far each partnership is in each category that its mode keeps in sync, the one with the oldest waiting or failed job
-- first. $1: of this organization, on either side; $2: those that are in step too; $3 to $6: after this age (microseconds
-- since 1970), upstream, downstream and category; $7 at most. What waits is read from the mailbox and from the failed
-- jobs (partnership_lag), never from those that are done. Up to which change of the upstream the partner is in step is
-- looked up for the rows of the page alone: the last one before the first that waits, or failed. Indexes: change_category,
-- job_not_succeeded, partnership_pkey. What a partnership is and what waits for it are put together by grouping: the
-- planner, who expects that little waits, would join them by comparing each of an upstream's partners with each.
with lag as (
     select upstream_no, downstream_no, category, jobs_waiting, jobs_failed, first_change_no, oldest_at, retry_at
       from partnership_lag
      where $1::int is null or upstream_no = $1 or downstream_no = $1
), part as (
     select p.upstream_no, p.downstream_no, c.name as category, p.mode, 0 as jobs_waiting, 0 as jobs_failed,
            null::bigint as first_change_no, null::timestamptz as oldest_at, null::timestamptz as retry_at,
            false as reconcile
       from partnership p
       join category c on c.reach = 'ongoing' and (p.mode = 'strict' or c.kind = 'collection')
      where p.mode <> 'off'
        and ($1::int is null or p.upstream_no = $1 or p.downstream_no = $1)
     union all
     select upstream_no, downstream_no, category, null, jobs_waiting, jobs_failed, first_change_no, oldest_at, retry_at,
            false
       from lag
      where category is not null
     union all
     select l.upstream_no, l.downstream_no, c.name, null, l.jobs_waiting, l.jobs_failed, null, l.oldest_at, l.retry_at,
            true
       from lag l
      cross join category c
      where l.category is null
), fresh as (
     select upstream_no,
            downstream_no,
            category,
            min(mode) as mode,
            sum(jobs_waiting)::bigint as jobs_waiting,
            sum(jobs_failed)::bigint as jobs_failed,
            min(first_change_no) as first_change_no,
            min(oldest_at) as oldest_at,
            min(retry_at) as retry_at,
            bool_or(reconcile) as reconcile,
            coalesce((extract(epoch from min(oldest_at)) * 1000000)::bigint, 9223372036854775807) as age
       from part
      group by 1, 2, 3
     having count(mode) = 1
        and ($2::boolean or count(*) > 1)
), page as materialized (
     select *
       from fresh
      where $3::bigint is null
         or (age, upstream_no, downstream_no, category collate "C") > ($3, $4::int, $5::int, $6::text collate "C")
      order by age, upstream_no, downstream_no, category collate "C"
      limit $7
)
select upstream.organization_id as upstream_id,
       downstream.organization_id,
       p.category,
       p.mode::text,
       through.event_id,
       through.made_at as event_at,
       p.jobs_waiting,
       p.jobs_failed,
       p.oldest_at,
       p.retry_at,
       p.reconcile,
       exists (select from pause where organization_no is null or organization_no = p.downstream_no) as paused,
       p.age,
       p.upstream_no,
       p.downstream_no
  from page p
  join organization upstream on upstream.organization_no = p.upstream_no
  join organization downstream on downstream.organization_no = p.downstream_no
  left join lateral (
       select e.event_id, c.made_at
         from change c
         join event e using (event_no)
        where not p.reconcile
          and c.organization_no = p.upstream_no
          and c.category = p.category
          and (p.first_change_no is null or c.change_no < p.first_change_no)
        order by c.change_no desc
        limit 1
       ) through on true
 order by p.age, p.upstream_no, p.downstream_no, p.category collate "C"
