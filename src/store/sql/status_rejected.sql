-- Rejected messages that nobody has dealt with, by code.
select code, count(*) as messages, max(received_at) as newest_at
  from rejected_message
 where state = 'rejected'
 group by code
 order by messages desc, code
