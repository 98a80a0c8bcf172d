-- Back to the session's own lock timeout. Before a commit: one that notifies waits for a lock of the whole server,
-- which others hold while they write to disk. That says nothing of any job, and must not cost the batch.
set local lock_timeout to default
