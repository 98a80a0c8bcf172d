-- The largest versions seen. The shards of the organizations are locked by this transaction.
insert into category_version (organization_no, category, version)
select * from unnest($1::int[], $2::text[], $3::bigint[])
    on conflict (organization_no, category) do update set version = excluded.version
