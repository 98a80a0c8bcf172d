-- The letter that has waited longest: what is stuck, if anything is. Reads all letters: they are few, or else what waits
-- is what one wants to know.
select l.created_at,
       l.run_at,
       l.kind::text,
       l.attempts,
       l.last_error,
       o.organization_id,
       e.event_id,
       e.source,
       exists (select from pause p where p.organization_no is null or p.organization_no = l.organization_no) as paused
  from letter l
  join event e using (event_no)
  left join organization o on o.organization_no = l.organization_no
 order by l.created_at, l.letter_no
 limit 1
