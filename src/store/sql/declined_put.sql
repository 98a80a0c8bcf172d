-- Entries declined. Sorted by the caller; the shards of the downstreams are locked by this transaction.
insert into declined (downstream_no, upstream_no, category, key, event_no)
select * from unnest($1::int[], $2::int[], $3::text[], $4::text[], $5::bigint[])
    on conflict (downstream_no, upstream_no, category, key) do update set event_no = excluded.event_no
