-- The next rejected messages that nobody has dealt with, the oldest first, for this transaction alone. $1: these; $2:
-- with this code; $3: after this one; $4: no younger than this; $5: at most so many. With the organization whose job
-- was discarded, where it is an event that was found wrong when it ran. Index: rejected_message_pkey.
select m.rejected_id, m.code, m.body, m.properties, m.place_no, m.event_no,
       coalesce(e.downstream_no, e.organization_no) as organization_no
  from rejected_message m
  left join event e on e.event_no = m.event_no
 where m.state = 'rejected'
   and ($1::bigint[] is null or m.rejected_id = any ($1))
   and ($2::text is null or m.code = $2)
   and m.rejected_id > $3
   and ($4::timestamptz is null or m.received_at <= $4)
 order by m.rejected_id
 limit $5
   for update of m
