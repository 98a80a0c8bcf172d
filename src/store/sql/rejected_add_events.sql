-- Events that were found wrong when they ran: they stand among the rejected messages too.
insert into rejected_message (code, reason, body, properties, digest, event_no)
select r.code, r.reason, coalesce(e.body, ''), coalesce(e.properties, '{}'), sha256(coalesce(e.body, '')),
       e.event_no
  from unnest($1::bigint[], $2::text[], $3::text[]) r (event_no, code, reason)
  join event e using (event_no)
