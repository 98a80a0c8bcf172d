-- The partnerships of an upstream with the downstreams in a shard. Index: partnership_shard.
select p.upstream_no, p.downstream_no, p.status::text, p.exclusive, p.data_sync, p.allow_downstream_edit,
       p.since_change_no, p.version, p.event_no
  from unnest($1::int[], $2::smallint[]) w (upstream_no, shard)
  join partnership p on p.upstream_no = w.upstream_no and p.downstream_shard = w.shard
