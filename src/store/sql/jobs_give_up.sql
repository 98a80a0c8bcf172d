-- Jobs that failed too often are parked, with their last error and with what those parts of them did that went
-- through; what is behind them goes on. Index: letter_pkey.
insert into job (cause_no, organization_no, state, attempts, last_error, added, changed, removed, unchanged,
                 kept_own, declined, overtaken)
select cause_no, organization_no, 'failed', attempts_before + attempts + 1, $2, coalesce(added, 0),
       coalesce(changed, 0), coalesce(removed, 0), coalesce(unchanged, 0), coalesce(kept_own, 0),
       coalesce(declined, 0), coalesce(overtaken, 0)
  from letter
 where letter_no = any($1::bigint[])
