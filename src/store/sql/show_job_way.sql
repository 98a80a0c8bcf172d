-- The jobs that a job follows from, the first one first. $1, $2: its cause and organization. Index:
-- change_pkey.
with recursive way (cause_no, organization_no, tier) as (
     select $1::bigint, $2::int, 0
     union all
     select c.cause_no, coalesce(c.downstream_no, c.organization_no), w.tier + 1
       from way w
       join change c on c.change_no = w.cause_no
)
select w.cause_no || '-' || w.organization_no as idempotency_key, o.organization_id
  from way w
  join organization o using (organization_no)
 where w.tier > 0
 order by w.tier desc
