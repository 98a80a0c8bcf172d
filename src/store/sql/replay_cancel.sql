-- No more of a replay's jobs are sent; those that were sent go on.
update replay
   set state = 'cancelled',
       finished_at = clock_timestamp()
 where replay_no = $1
   and state = 'running'
returning total - sent - refused as left_off
