-- The ids of events ($1), for people. Index: event_pkey.
select event_no, event_id
  from event
 where event_no = any($1::bigint[])
