-- Letters, in the order given. The caller knows the shard: that of the organization, or the one written to.
insert into letter (shard, position, cause_no, event_no, kind, organization_no, weight, replay)
select l.shard, l.position, l.cause_no, l.event_no, l.kind::job_kind, l.organization_no, l.weight,
       l.replay
  from unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::int[], $7::bigint[],
              $8::boolean[])
       with ordinality l (shard, position, cause_no, event_no, kind, organization_no, weight, replay, place)
 order by l.place
