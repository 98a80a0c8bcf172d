-- A replay that may go on, which this transaction takes to itself; another one's is passed by. Index: replay_running.
select replay_no, rate_per_second
  from replay
 where state = 'running'
   and next_at <= clock_timestamp()
 order by next_at
 limit 1
   for update skip locked
