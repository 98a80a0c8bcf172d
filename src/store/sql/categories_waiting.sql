-- Categories that letters wait for and that are not among those given. The mailbox is small: no index.
select distinct coalesce(c.category, e.category) as category
  from letter l
  left join change c on c.change_no = l.cause_no
  left join event e on e.event_no = l.cause_no
 where coalesce(c.category, e.category) <> all($1::text[])
 order by 1
