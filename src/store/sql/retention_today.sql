-- The date in UTC by the clock that all processes share.
select (now() at time zone 'UTC')::date
