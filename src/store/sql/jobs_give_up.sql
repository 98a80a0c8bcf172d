-- Jobs that failed too often are parked, with their last error; what is behind them goes on. Index: letter_pkey.
insert into job (cause_no, organization_no, state, attempts, last_error)
select cause_no, organization_no, 'failed', attempts_before + attempts + 1, $2
  from letter
 where letter_no = any($1::bigint[])
