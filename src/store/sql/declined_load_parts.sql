-- What downstreams ($1) have declined of upstreams ($2) among the first entries of these after a place ($3, $4),
-- as many as $5 each, in the categories $6. Only of entries that the upstream has: others count for nothing
-- here, and may be many. Indexes: setting_pkey, declined_pkey.
select d.downstream_no, d.upstream_no, d.category, d.key, d.event_no
  from unnest($1::int[], $2::int[], $3::text[], $4::text[], $5::bigint[])
       p (downstream_no, upstream_no, after_category, after_key, entries_max)
 cross join lateral (
       select category, key
         from setting
        where setting.organization_no = p.upstream_no
          and (setting.category, setting.key) > (p.after_category, p.after_key)
          and setting.category = any($6::text[])
        order by setting.category, setting.key
        limit p.entries_max
 ) s
  join declined d
    on d.downstream_no = p.downstream_no and d.upstream_no = p.upstream_no
   and d.category = s.category and d.key = s.key
