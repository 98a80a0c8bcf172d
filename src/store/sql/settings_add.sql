-- Entries that were not there before, sorted; their shards are locked by this transaction. COPY costs less a row than
-- an insert, and needs no look at the index for a row that may be there: one that is, is a bug, and fails the batch.
copy setting (organization_no, category, key, value_id, origin_no, event_no, added_event_no)
from stdin (format binary)
