-- How far a replay ($1) is: $2 more were sent, $3 more refused. It goes on when its rate allows: so many seconds later
-- as what was sent takes; what it was late by, up to a second, is made up for. It is done when no job is left.
-- Index: replay_job_waiting.
update replay r
   set sent = r.sent + $2,
       refused = r.refused + $3,
       next_at = case
                   when r.rate_per_second is null then clock_timestamp()
                   else greatest(r.next_at, clock_timestamp() - interval '1 s')
                        + $2::int * interval '1 s' / r.rate_per_second
                 end,
       state = case when waiting.any then 'running' else 'done' end::replay_state,
       finished_at = case when waiting.any then null else clock_timestamp() end
  from (select exists (select from replay_job where replay_no = $1 and state = 'waiting')) waiting ("any")
 where r.replay_no = $1
returning r.state::text, r.total, r.sent, r.refused
