-- Messages that cannot be events. One that is there already, and that nobody has dealt with, is not stored again,
-- whether it was delivered again, came by a commit that was not answered, or was published twice; one that is
-- delivered again, not even then. One transaction at a time does this (intake_lock).
-- Index: rejected_message_digest.
insert into rejected_message (code, reason, body, properties, digest, place_no)
select r.code, r.reason, r.body, r.properties::jsonb, r.digest, r.place_no
  from unnest($1::text[], $2::text[], $3::bytea[], $4::text[], $5::bytea[], $6::boolean[],
              $7::bigint[])
       r (code, reason, body, properties, digest, redelivered, place_no)
 where not exists (
       select from rejected_message m
        where m.digest = r.digest
          and (m.state = 'rejected' or r.redelivered))
