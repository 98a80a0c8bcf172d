-- What changed, and what its root event is called. Indexes: change_pkey, event_pkey.
select c.change_no, c.event_no, c.cause_no, c.organization_no, c.category, c.payload::text, c.downstream_no,
       c.beginning::text, e.event_id, e.traceparent
  from change c
  join event e using (event_no)
 where c.change_no = any($1::bigint[])
