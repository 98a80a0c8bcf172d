-- How many jobs a replay ($1) has. Index: replay_job_pkey.
update replay r
   set total = counted.total,
       refused = counted.refused
  from (select count(*) as total, count(*) filter (where state = 'refused') as refused
          from replay_job
         where replay_no = $1) counted
 where r.replay_no = $1
returning r.total, r.refused
