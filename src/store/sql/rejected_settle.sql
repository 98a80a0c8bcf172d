-- What an operator did about rejected messages: $2 is replayed or discarded, $3 by whom, $4 why. Index:
-- rejected_message_pkey.
update rejected_message
   set state = $2::text::rejected_state,
       settled_by = $3,
       settled_reason = $4,
       settled_at = now()
 where rejected_id = any ($1::bigint[])
   and state = 'rejected'
