-- The states of rejected messages. Index: rejected_message_pkey.
select rejected_id, state::text
  from rejected_message
 where rejected_id = any ($1::bigint[])
