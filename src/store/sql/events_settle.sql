-- The verdict of events that did not take effect. Their letters are held by this transaction.
update event e
   set verdict = v.verdict::event_verdict
  from unnest($1::bigint[], $2::text[]) v (event_no, verdict)
 where e.event_no = v.event_no
