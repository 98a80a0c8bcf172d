-- One rejected message, whole. Index: rejected_message_pkey.
select rejected_id, received_at, code, reason, octet_length(body)::bigint as body_bytes, properties,
       state::text as state, body, settled_by, settled_reason, settled_at
  from rejected_message
 where rejected_id = $1
