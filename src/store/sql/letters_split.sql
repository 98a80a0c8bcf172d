-- A letter to a shard becomes one letter for each downstream there that it may reach, at the same
-- place; not for those whom it has reached.
-- Indexes: letter_pkey, partnership_shard.
insert into letter (shard, position, cause_no, event_no, kind, organization_no, weight, created_at)
select l.shard, l.position, l.cause_no, l.event_no, l.kind, p.downstream_no,
       1 + l.weight / count(*) over (), l.created_at
  from letter l
  join change c on c.change_no = l.cause_no
  join partnership p
    on p.upstream_no = c.organization_no
   and p.downstream_shard = l.shard
   and p.downstream_no > coalesce(l.after_member_no, 0)
   and p.since_change_no < c.change_no
   and p.mode <> 'off'
 where l.letter_no = $1
 order by p.downstream_no
returning letter_no, organization_no
