-- Which of these entries were declined. Index: declined_pkey, for each key by itself (see settings_load).
select d.downstream_no, d.upstream_no, d.category, d.key, d.event_no
  from unnest($1::int[], $2::int[], $3::text[], $4::text[]) k (downstream_no, upstream_no, category, key)
 cross join lateral (
       select *
         from declined
        where declined.downstream_no = k.downstream_no
          and declined.upstream_no = k.upstream_no
          and declined.category = k.category
          and declined.key = k.key
        limit 1
 ) d
