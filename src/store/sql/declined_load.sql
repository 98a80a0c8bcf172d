-- Which of these entries were declined. Index: declined_pkey.
select d.downstream_no, d.upstream_no, d.category, d.key, d.event_no
  from unnest($1::int[], $2::int[], $3::text[], $4::text[]) k (downstream_no, upstream_no, category, key)
  join declined d
    on d.downstream_no = k.downstream_no and d.upstream_no = k.upstream_no
   and d.category = k.category and d.key = k.key
