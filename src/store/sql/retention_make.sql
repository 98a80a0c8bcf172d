-- Makes the partition of the next day that has none, up to $1 days ahead: see the function. Locks job_kept against
-- everybody, for a moment, and waits 1.5 s at most for that.
select job_day_make($1::int) as day_no
