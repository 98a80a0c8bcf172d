-- The tables that rows are copied to, as any insert locks them: no COPY waits for that, or is refused for want of a
-- privilege. Waits for whoever has locked a whole table.
lock table only setting, only job, only change in row exclusive mode
