-- Entries that were there before, as they are now. Sorted by the caller; their shards are locked by this transaction.
-- An insert that always meets its row finds it by the index, whatever the planner thinks of the table's size. Index:
-- setting_pkey.
insert into setting (organization_no, category, key, value_id, origin_no, event_no, added_event_no)
select * from unnest($1::int[], $2::text[], $3::text[], $4::uuid[], $5::int[], $6::bigint[], $7::bigint[])
    on conflict (organization_no, category, key) do update
   set value_id = excluded.value_id,
       origin_no = excluded.origin_no,
       event_no = excluded.event_no,
       added_event_no = excluded.added_event_no,
       updated_at = excluded.updated_at
