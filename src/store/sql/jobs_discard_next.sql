-- The next jobs to discard, $13 at most, all of one shard. $1 and on: as in the function chosen_job.
select cause_no, organization_no, state, organization_no % 16 as shard
  from chosen_job($1, $2::bigint[], $3::int[], $4, $5, $6, $7, $8, $9, $10, $11, $12)
 where refusal is null
 order by shard, cause_no, organization_no
 limit $13
