-- Jobs that are tried again are given up for good, $3 says by whom and why: their letters leave. The caller has locked
-- their shards. Index: letter_organization.
with gone as (
     delete from letter l
      using unnest($1::bigint[], $2::int[]) k (cause_no, organization_no)
      where l.organization_no = k.organization_no
        and l.cause_no = k.cause_no
        and l.attempts > 0
     returning l.cause_no, l.organization_no, l.attempts_before + l.attempts as attempts, l.last_error
)
insert into job (cause_no, organization_no, state, attempts, skipped, last_error)
select cause_no, organization_no, 'discarded', attempts, $3, last_error
  from gone
returning cause_no, organization_no
