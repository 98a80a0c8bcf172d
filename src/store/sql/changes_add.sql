-- Changes that go on to downstreams, and beginnings of partnerships. COPY costs less a row than an insert.
copy change (change_no, event_no, cause_no, organization_no, category, downstream_no, beginning, merges, payload)
from stdin (format binary)
