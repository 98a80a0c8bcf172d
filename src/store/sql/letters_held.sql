-- Organizations of these shards that wait for a letter which is not due yet, and all that are paused; null where
-- all execution is. Only letters that were tried are not due. Index: letter_attempted.
select organization_no
  from letter
 where shard = any($1::smallint[])
   and attempts > 0
   and run_at > now()
   and organization_no is not null
union
select organization_no
  from pause
