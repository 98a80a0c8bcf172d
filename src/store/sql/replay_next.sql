-- The next jobs of a replay ($1), $2 at most, all of one shard, the oldest cause first. The caller has locked the
-- replay. Index: replay_job_waiting.
select cause_no, organization_no, shard, was
  from replay_job
 where replay_no = $1
   and state = 'waiting'
   and shard = (select shard
                  from replay_job
                 where replay_no = $1
                   and state = 'waiting'
                 order by shard
                 limit 1)
 order by cause_no, organization_no
 limit $2
