-- What events say. Index: event_pkey.
select event_no, organization_no, downstream_no, category, payload::text, traceparent, event_id
  from event
 where event_no = any($1::bigint[])
