-- The upstreams of an organization ($1), whatever the status, at most $4; and what each of them has under a key ($3)
-- of a category ($2), whether it is the same as here, and whether the organization has declined it. Indexes:
-- partnership_downstream, setting_pkey, declined_pkey.
select p.upstream_no,
       u.organization_id as upstream_id,
       p.status::text,
       p.exclusive,
       p.data_sync,
       p.allow_downstream_edit,
       p.updated_at,
       v.body as value,
       theirs.event_no,
       e.event_id,
       theirs.updated_at as written_at,
       added.event_id as added_event_id,
       theirs.value_id = mine.value_id as is_same,
       declined.event_id as declined_event_id,
       declined.received_at as declined_at
  from partnership p
  join organization u on u.organization_no = p.upstream_no
  left join setting theirs
    on theirs.organization_no = p.upstream_no and theirs.category = $2 and theirs.key = $3
  left join value v on v.value_id = theirs.value_id
  left join event e on e.event_no = theirs.event_no
  left join event added on added.event_no = theirs.added_event_no
  left join setting mine on mine.organization_no = p.downstream_no and mine.category = $2 and mine.key = $3
  left join declined d
    on d.downstream_no = p.downstream_no and d.upstream_no = p.upstream_no and d.category = $2 and d.key = $3
  left join event declined on declined.event_no = d.event_no
 where p.downstream_no = $1
 order by p.status, u.organization_id
 limit $4
