-- Whose of these events ($1, of organizations $2) somebody else has locked; locks the others. Never waits.
-- Index: event_pkey.
with free as materialized (
     select event_no from event where event_no = any($1::bigint[]) for update skip locked
)
select distinct k.organization_no
  from unnest($1::bigint[], $2::int[]) k (event_no, organization_no)
  join event e on e.event_no = k.event_no
 where not exists (select from free where free.event_no = k.event_no)
