-- What event_view does not show of an event: the downstream of a partnership, the publisher's trace. Index:
-- event_pkey.
select downstream.organization_id as downstream_id, e.traceparent
  from event e
  left join organization downstream on downstream.organization_no = e.downstream_no
 where e.event_no = $1
