-- Jobs that are tried again later are due now. The caller has locked their shards. Index: letter_organization.
update letter l
   set run_at = now()
  from unnest($1::bigint[], $2::int[]) k (cause_no, organization_no)
 where l.organization_no = k.organization_no
   and l.cause_no = k.cause_no
   and l.attempts > 0
returning l.cause_no, l.organization_no
