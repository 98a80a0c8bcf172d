-- A replay that could not go on tries again later, and lets others go first meanwhile. Index: replay_pkey.
update replay
   set next_at = clock_timestamp() + interval '5 s'
 where replay_no = $1
   and state = 'running'
