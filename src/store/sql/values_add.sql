-- Values by content, sorted, none of which is there: who adds some holds the intake. COPY costs less a row than an
-- insert.
copy value (value_id, body)
from stdin (format binary)
