-- The content of events that are known, to tell a duplicate from an id that was used again.
-- Index: event_source_event_id_key.
select e.source, e.event_id, e.content
  from unnest($1::text[], $2::text[]) k (source, event_id)
  join event e on e.source = k.source and e.event_id = k.event_id
