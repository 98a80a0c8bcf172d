-- Drops the oldest day that ended $2 days before the date $1, or earlier: see the function. Locks job against
-- everybody while what outlasts the day is moved, and waits 1.5 s at most for that. Indexes: those of the partition,
-- event_partnership, change_beginning.
select dropped, kept from job_day_drop($1::date, $2::int)
