-- The content of events that are known, to tell a duplicate from an id that was used again. Index:
-- event_event_id_source_key, for each event by itself: that is what the `limit` is for.
select e.source, e.event_id, e.content
  from unnest($1::text[], $2::text[]) k (source, event_id)
 cross join lateral (
       select *
         from event
        where event.source = k.source
          and event.event_id = k.event_id
        limit 1
 ) e
