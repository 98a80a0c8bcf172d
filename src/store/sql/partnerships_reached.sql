-- How many downstreams of organizations are reached by which kind of rule, by shard, and where their changes
-- stand. An organization that never had a downstream is not returned. Index: partnership_shard.
select p.upstream_no, p.downstream_shard,
       count(*) filter (where p.mode = 'strict') as strict,
       count(*) filter (where p.mode in ('non-exclusive', 'flexible')) as merging,
       o.last_change_no, o.last_position
  from partnership p
  join organization o on o.organization_no = p.upstream_no
 where p.upstream_no = any($1::int[])
 group by p.upstream_no, p.downstream_shard, o.last_change_no, o.last_position
