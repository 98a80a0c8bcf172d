-- The partnerships of an upstream with the downstreams in a shard, and whether these have declined anything of it. One
-- such entry is looked for: `exists` may be answered by reading all that were ever declined. Indexes:
-- partnership_shard, declined_pkey.
select p.upstream_no, p.downstream_no, p.status::text, p.exclusive, p.data_sync, p.allow_downstream_edit,
       p.since_change_no, p.version, p.event_no,
       (select true
          from declined d
         where d.downstream_no = p.downstream_no and d.upstream_no = p.upstream_no
         limit 1) is not null as has_declined
  from unnest($1::int[], $2::smallint[]) w (upstream_no, shard)
  join partnership p on p.upstream_no = w.upstream_no and p.downstream_shard = w.shard
