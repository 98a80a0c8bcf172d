-- The tables that rows are copied to when events are taken in: see tables_lock. Waits for whoever has locked a whole
-- table.
lock table only event, only value in row exclusive mode
