-- Begins the day of the date $1, where it has not begun: see the function. Locks no row that others write.
select job_day_begin($1::date) as day_no
