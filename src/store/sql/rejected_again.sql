-- Messages that were replayed and are refused again: with what is wrong with them now. Index: rejected_message_pkey.
update rejected_message m
   set code = r.code,
       reason = r.reason
  from unnest($1::bigint[], $2::text[], $3::text[]) r (rejected_id, code, reason)
 where m.rejected_id = r.rejected_id
