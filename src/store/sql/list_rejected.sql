-- Rejected messages, the newest first, with the size of the body in its place. $1: of this code; $2: in this
-- state; $3: before this id. Index: rejected_message_pkey, backwards, no further than the limit.
select rejected_id, received_at, code, reason, octet_length(body)::bigint as body_bytes, properties, state
  from rejected_message_view
 where ($1::text is null or code = $1)
   and ($2::text is null or state = $2)
   and ($3::bigint is null or rejected_id < $3)
 order by rejected_id desc
 limit $4
