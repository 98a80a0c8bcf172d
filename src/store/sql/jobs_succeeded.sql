-- Jobs done, all of which have succeeded, in the order in which they were done. A job that is there already is a bug,
-- and fails the batch. COPY costs less a row than jobs_add.
copy job (cause_no, organization_no, attempts, added, changed, removed, unchanged, kept_own, declined, skipped,
          overtaken)
from stdin (format binary)
