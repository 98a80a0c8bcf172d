-- Messages that cannot be events. One that is there already, and that nobody has dealt with, is not stored again,
-- whether it was delivered again, came by a commit that was not answered, or was published twice; one that is
-- delivered again, not even then. The caller has locked them (rejected_lock). Index: rejected_message_digest.
insert into rejected_message (code, reason, body, properties, digest)
select r.code, r.reason, r.body, r.properties::jsonb, r.digest
  from unnest($1::text[], $2::text[], $3::bytea[], $4::text[], $5::bytea[], $6::boolean[])
       r (code, reason, body, properties, digest, redelivered)
 where not exists (
       select from rejected_message m
        where m.digest = r.digest
          and (m.state = 'rejected' or r.redelivered))
