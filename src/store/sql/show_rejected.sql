-- One rejected message, whole. Index: rejected_message_pkey.
select rejected_id, received_at, code, reason, octet_length(body)::bigint as body_bytes, properties, state,
       body
  from rejected_message_view
 where rejected_id = $1
