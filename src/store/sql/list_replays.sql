-- Replays, the newest first. $1: before this one. Index: replay_pkey, backwards.
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
 where $1::bigint is null or r.replay_no < $1
 order by r.replay_no desc
 limit $2
