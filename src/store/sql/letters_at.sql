-- The due letter at a place, counted from 0, of a shard that this transaction has locked. Index: letter_order.
select letter_no, organization_no, attempts
  from letter
 where shard = $1
   and run_at <= now()
 order by position, cause_no, letter_no
offset $2
 limit 1
