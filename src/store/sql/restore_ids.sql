-- Which of these ids ($1) events of our own have. Index: event_event_id_source_key.
select event_id
  from event
 where event_id = any($1::text[])
   and source = 'channel-sync'
