-- Categories that the running service does not know: it was started with another catalogue.
select name
  from unnest($1::text[]) name
 where name not in (select c.name from category c)
 order by name
