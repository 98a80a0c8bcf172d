-- The next strict partnerships after $3, $4 (upstream and downstream), $5 at most; $1: of this upstream, $2: of this
-- downstream. With how many jobs wait that may bring something to the downstream: its own letters, of whatever kind;
-- letters to its shard that have not come to it yet, with changes that it need not have been told of before; and jobs
-- that a replay is still to send. And how many have failed. Reads the mailbox once, for all partnerships of the chunk.
-- Indexes: partnership_pkey, job_not_succeeded, replay_job_waiting.
with fan_out as materialized (
     select l.shard,
            c.organization_no as upstream_no,
            coalesce(l.after_member_no, 0) as after_member_no,
            count(*) as jobs,
            max(c.change_no) as last_change_no
       from letter l
       join change c on c.change_no = l.cause_no
      where l.organization_no is null
      group by 1, 2, 3
), waiting as materialized (
     select organization_no, count(*) as jobs
       from (select organization_no
               from letter
              where organization_no is not null
             union all
             select r.organization_no
               from replay
               join replay_job r using (replay_no)
              where replay.state = 'running'
                and r.state = 'waiting') all_of_them
      group by organization_no
), failed as materialized (
     select c.organization_no as upstream_no, j.organization_no as downstream_no, count(*) as jobs
       from job j
       join change c on c.change_no = j.cause_no
      where j.state = 'failed'
      group by 1, 2
), chunk as materialized (
     select *
       from partnership
      where mode = 'strict'
        and ($1::int is null or upstream_no = $1)
        and ($2::int is null or downstream_no = $2)
        and (upstream_no, downstream_no) > ($3::int, $4::int)
      order by upstream_no, downstream_no
      limit $5
)
select p.upstream_no,
       p.downstream_no,
       upstream.organization_id as upstream_id,
       downstream.organization_id,
       coalesce(w.jobs, 0) + coalesce(f.jobs, 0)::bigint as jobs_waiting,
       coalesce(failed.jobs, 0) as jobs_failed,
       exists (select from pause where organization_no is null or organization_no = p.downstream_no) as paused
  from chunk p
  join organization upstream on upstream.organization_no = p.upstream_no
  join organization downstream on downstream.organization_no = p.downstream_no
  left join waiting w on w.organization_no = p.downstream_no
  left join failed on failed.upstream_no = p.upstream_no and failed.downstream_no = p.downstream_no
  left join (
       select p.upstream_no, p.downstream_no, sum(f.jobs) as jobs
         from chunk p
         join fan_out f
           on f.upstream_no = p.upstream_no
          and f.shard = p.downstream_shard
          and f.after_member_no < p.downstream_no
          and f.last_change_no > p.since_change_no
        group by 1, 2
       ) f on f.upstream_no = p.upstream_no and f.downstream_no = p.downstream_no
 order by p.upstream_no, p.downstream_no
