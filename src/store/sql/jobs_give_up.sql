-- A job that failed too often is parked, with its last error; what is behind it goes on. Index: letter_pkey.
insert into job (cause_no, organization_no, state, attempts, last_error)
select cause_no, organization_no, 'failed', attempts_before + attempts + 1, $2
  from letter
 where letter_no = $1
