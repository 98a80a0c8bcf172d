-- How many downstreams of organizations are reached by which kind of rule, by shard, and where their changes
-- stand. An organization that never had a downstream is not returned. Organizations are looked up one by one, which the
-- limit says: the planner may know too little of the table. Indexes: partnership_shard, organization_pkey.
select p.upstream_no, p.downstream_shard, p.strict, p.merging, o.last_change_no, o.last_position
  from (select upstream_no, downstream_shard,
               count(*) filter (where mode = 'strict') as strict,
               count(*) filter (where mode in ('non-exclusive', 'flexible')) as merging
          from partnership
         where upstream_no = any($1::int[])
         group by upstream_no, downstream_shard) p
 cross join lateral (
       select last_change_no, last_position
         from organization
        where organization_no = p.upstream_no
        limit 1) o
