-- All that these downstreams have declined of these upstreams. Index: declined_pkey.
select d.downstream_no, d.upstream_no, d.category, d.key, d.event_no
  from unnest($1::int[], $2::int[]) k (downstream_no, upstream_no)
  join declined d on d.downstream_no = k.downstream_no and d.upstream_no = k.upstream_no
