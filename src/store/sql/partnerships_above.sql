-- The partnerships that organizations are downstream of, and those above these, all the way up; and
-- whether anything of the upstream was declined: see partnerships_below. Indexes: partnership_downstream, declined_pkey.
with recursive above as (
    select p.* from partnership p where p.downstream_no = any($1::int[])
    union
    select p.* from partnership p join above a on p.downstream_no = a.upstream_no
)
select upstream_no, downstream_no, status::text, exclusive, data_sync, allow_downstream_edit, since_change_no,
       version, event_no,
       (select true
          from declined d
         where d.downstream_no = above.downstream_no and d.upstream_no = above.upstream_no
         limit 1) is not null as has_declined
  from above
