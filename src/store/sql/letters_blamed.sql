-- Letters to blame, of shards that this transaction has locked. Index: letter_pkey.
select letter_no, organization_no, attempts
  from letter
 where letter_no = any($1::bigint[])
 order by position, cause_no, letter_no
