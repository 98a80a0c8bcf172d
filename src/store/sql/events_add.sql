-- New events, in the order in which they came, none of which is there: who adds some holds the intake. One that is
-- fails the batch.
insert into event (event_no, source, event_id, content, type, organization_no, downstream_no, category,
                   payload, verdict, traceparent, body, properties)
select e.event_no, e.source, e.event_id, e.content, e.type::event_type, e.organization_no, e.downstream_no,
       e.category, e.payload::json, e.verdict::event_verdict, e.traceparent, e.body, e.properties::jsonb
  from unnest($1::bigint[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::int[], $7::int[],
              $8::text[], $9::text[], $10::text[], $11::text[], $12::bytea[], $13::text[])
       e (event_no, source, event_id, content, type, organization_no, downstream_no, category, payload,
          verdict, traceparent, body, properties)
