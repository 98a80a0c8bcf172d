-- One setting of an organization, and the events that last wrote it and that brought it into being there. Index:
-- setting_pkey.
select v.body as value,
       s.origin_no,
       coalesce(upstream.organization_id, 'own') as origin,
       s.event_no,
       s.added_event_no,
       written.event_id,
       added.event_id as added_event_id,
       s.updated_at
  from setting s
  join value v using (value_id)
  left join organization upstream on upstream.organization_no = s.origin_no
  left join event written on written.event_no = s.event_no
  left join event added on added.event_no = s.added_event_no
 where s.organization_no = $1
   and s.category = $2
   and s.key = $3
