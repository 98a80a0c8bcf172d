-- Failed jobs are given up for good, $3 says by whom and why. The caller has locked their shards. Index: job_pkey.
update job j
   set state = 'discarded',
       skipped = $3,
       finished_at = now()
  from unnest($1::bigint[], $2::int[]) k (cause_no, organization_no)
 where j.cause_no = k.cause_no
   and j.organization_no = k.organization_no
   and j.state = 'failed'
returning j.cause_no, j.organization_no
