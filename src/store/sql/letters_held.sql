-- Organizations that wait for a letter which is not due yet. Index: letter_order.
select distinct organization_no
  from letter
 where shard = any($1::smallint[])
   and run_at > now()
   and organization_no is not null
