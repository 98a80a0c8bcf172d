-- Values by content, sorted, none of which is there: who adds some holds the intake.
insert into value (value_id, body)
select v.value_id, v.body::jsonb
  from unnest($1::uuid[], $2::text[]) v (value_id, body)
