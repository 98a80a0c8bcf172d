-- What stands in the way of a restore in an organization ($1): by which upstream it is locked (category null), and in
-- which categories events of its own wait. Indexes: partnership_downstream, letter_organization, event_pkey.
select null as category, p.upstream_no as locked_by
  from partnership p
 where p.downstream_no = $1
   and p.mode = 'strict'
union all
select distinct e.category, null::int
  from letter l
  join event e on e.event_no = l.cause_no
 where l.organization_no = $1
   and l.kind = 'own-change'
