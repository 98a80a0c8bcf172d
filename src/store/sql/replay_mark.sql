-- What became of jobs of a replay ($1): sent, or refused with a reason. Index: replay_job_pkey.
update replay_job r
   set state = case when m.reason is null then 'sent' else 'refused' end::replay_job_state,
       reason = m.reason,
       had_effect = m.had_effect
  from unnest($2::bigint[], $3::int[], $4::text[], $5::boolean[]) m (cause_no, organization_no, reason, had_effect)
 where r.replay_no = $1
   and r.cause_no = m.cause_no
   and r.organization_no = m.organization_no
