-- One replay. Index: replay_pkey.
select r.replay_no,
       r.requested_by,
       r.reason,
       r.filter,
       r.rate_per_second,
       r.state::text,
       r.total,
       r.sent,
       r.refused,
       r.created_at,
       r.finished_at
  from replay r
 where r.replay_no = $1
