-- What waits, by kind. Reads all letters: they are few, or else what waits is what one wants to know.
select kind::text,
       count(*) as letters,
       count(*) filter (where run_at <= now()) as due,
       min(created_at) as oldest_at
  from letter
 group by kind
 order by kind
