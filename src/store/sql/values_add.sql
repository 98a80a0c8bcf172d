-- Values by content. Sorted, so that two that add the same ones wait for each other in one order.
insert into value (value_id, body)
select v.value_id, v.body::jsonb
  from unnest($1::uuid[], $2::text[]) v (value_id, body)
 order by v.value_id
    on conflict (value_id) do nothing
