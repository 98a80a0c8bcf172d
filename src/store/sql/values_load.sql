-- Values that are stored ($1), and others ($2) spelled as they would be ($3). Index: value_pkey.
select v.value_id, v.body
  from value v
 where v.value_id = any($1::uuid[])
union all
select value_id, body::jsonb
  from unnest($2::uuid[], $3::text[]) n (value_id, body)
