-- Messages that cannot be events. One that the broker delivers again after it was stored is not stored twice.
insert into rejected_message (code, reason, body, properties, digest, place_no)
select r.code, r.reason, r.body, r.properties::jsonb, r.digest, r.place_no
  from unnest($1::text[], $2::text[], $3::bytea[], $4::text[], $5::bytea[], $6::boolean[],
              $7::bigint[])
       r (code, reason, body, properties, digest, redelivered, place_no)
 where not (r.redelivered and exists (select from rejected_message m where m.digest = r.digest))
