-- A job that failed too often is parked, with its last error and with what those parts of it did that went
-- through; what is behind it goes on. Index: letter_pkey.
insert into job (cause_no, organization_no, state, attempts, last_error, added, changed, removed, unchanged,
                 kept_own, declined)
select cause_no, organization_no, 'failed', attempts + 1, $2, coalesce(added, 0), coalesce(changed, 0),
       coalesce(removed, 0), coalesce(unchanged, 0), coalesce(kept_own, 0), coalesce(declined, 0)
  from letter
 where letter_no = $1
