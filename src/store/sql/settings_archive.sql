-- What a match displaced, with the job that did. A job that is replayed may find the same state of an entry.
insert into archived_setting (cause_no, organization_no, category, key, value_id, origin_no, event_no)
select * from unnest($1::bigint[], $2::int[], $3::text[], $4::text[], $5::uuid[], $6::int[], $7::bigint[])
    on conflict (cause_no, organization_no, category, key, event_no) do nothing
