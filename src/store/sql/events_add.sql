-- New events, in the order in which they came, none of which is there: who adds some holds the intake. One that is
-- fails the batch. COPY costs less a row than an insert.
copy event (event_no, source, event_id, content, type, organization_no, downstream_no, category, payload, verdict,
            traceparent, body, properties)
from stdin (format binary)
