-- Partnerships that are new or have changed. The shards of their downstreams are locked by this transaction.
insert into partnership (upstream_no, downstream_no, status, exclusive, data_sync, allow_downstream_edit, mode,
                         since_change_no, version, event_no)
select p.upstream_no, p.downstream_no, p.status::partnership_status, p.exclusive, p.data_sync,
       p.allow_downstream_edit, p.mode::partnership_mode, p.since_change_no, p.version,
       p.event_no
  from unnest($1::int[], $2::int[], $3::text[], $4::boolean[], $5::boolean[], $6::boolean[], $7::text[],
              $8::bigint[], $9::bigint[], $10::bigint[])
       p (upstream_no, downstream_no, status, exclusive, data_sync, allow_downstream_edit, mode,
          since_change_no, version, event_no)
    on conflict (upstream_no, downstream_no) do update
   set status = excluded.status,
       exclusive = excluded.exclusive,
       data_sync = excluded.data_sync,
       allow_downstream_edit = excluded.allow_downstream_edit,
       mode = excluded.mode,
       since_change_no = excluded.since_change_no,
       version = excluded.version,
       event_no = excluded.event_no,
       updated_at = excluded.updated_at
