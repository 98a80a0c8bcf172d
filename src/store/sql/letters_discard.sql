-- Jobs that are tried again are given up for good, $3 says by whom and why: their letters leave; what parts of them did
-- stays, and is counted. The caller has locked their shards. Index: letter_organization.
with gone as (
     delete from letter l
      using unnest($1::bigint[], $2::int[]) k (cause_no, organization_no)
      where l.organization_no = k.organization_no
        and l.cause_no = k.cause_no
        and l.attempts > 0
     returning l.*
)
insert into job (cause_no, organization_no, state, attempts, skipped, last_error, added, changed, removed, unchanged,
                 kept_own, declined, overtaken)
select cause_no, organization_no, 'discarded', attempts_before + attempts, $3, last_error, coalesce(added, 0),
       coalesce(changed, 0), coalesce(removed, 0), coalesce(unchanged, 0), coalesce(kept_own, 0),
       coalesce(declined, 0), coalesce(overtaken, 0)
  from gone
returning cause_no, organization_no
