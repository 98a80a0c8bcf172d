-- How far each partnership is in each category that its mode keeps in sync, the one with the oldest waiting or failed job
-- first. $1: of this organization, on either side; $2: those that are in step too; $3 to $6: after this age (microseconds
-- since 1970), upstream, downstream and category; $7 at most. What waits is read from the mailbox and from the failed
-- jobs (partnership_lag), never from those that are done. Up to which change of the upstream the partner is in step is
-- looked up for the rows of the page alone: the last one before the first that waits, or failed. Indexes: change_category,
-- job_not_succeeded, partnership_pkey. A partnership is one number here (pair): with two, the planner, who expects that
-- little waits, joined by the upstream alone and compared each of its partners with each.
with lag as materialized (
     select upstream_no::bigint << 32 | downstream_no as pair,
            category,
            sum(jobs_waiting)::bigint as jobs_waiting,
            sum(jobs_failed)::bigint as jobs_failed,
            min(first_change_no) as first_change_no,
            min(oldest_at) as oldest_at,
            min(retry_at) as retry_at
       from partnership_lag
      where $1::int is null or upstream_no = $1 or downstream_no = $1
      group by 1, 2
), fresh as (
     select p.upstream_no,
            p.downstream_no,
            p.mode,
            c.name as category,
            coalesce(l.jobs_waiting, 0) + coalesce(r.jobs_waiting, 0) as jobs_waiting,
            coalesce(l.jobs_failed, 0) + coalesce(r.jobs_failed, 0) as jobs_failed,
            l.first_change_no,
            least(l.oldest_at, r.oldest_at) as oldest_at,
            least(l.retry_at, r.retry_at) as retry_at,
            r.pair is not null as reconcile,
            coalesce((extract(epoch from least(l.oldest_at, r.oldest_at)) * 1000000)::bigint,
                     9223372036854775807) as age
       from partnership p
       join category c on c.reach = 'ongoing' and (p.mode = 'strict' or c.kind = 'collection')
       left join lag l
         on l.pair = p.upstream_no::bigint << 32 | p.downstream_no
        and l.category = c.name
       left join lag r
         on r.pair = p.upstream_no::bigint << 32 | p.downstream_no
        and r.category is null
      where p.mode <> 'off'
        and ($1::int is null or p.upstream_no = $1 or p.downstream_no = $1)
        and ($2::boolean or l.pair is not null or r.pair is not null)
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
