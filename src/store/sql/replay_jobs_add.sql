-- The jobs of a replay ($1), chosen now: the oldest causes first, $14 at most. $2 and on: as in the function
-- chosen_job.
insert into replay_job (replay_no, cause_no, organization_no, was, error, state, reason)
select $1, c.cause_no, c.organization_no, c.state, c.error,
       case when c.refusal is null then 'waiting' else 'refused' end::replay_job_state,
       c.refusal
  from chosen_job($2, $3::bigint[], $4::int[], $5, $6, $7, $8, $9, $10, $11, $12, $13) c
 order by c.cause_no, c.organization_no
 limit $14
