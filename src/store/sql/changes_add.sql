-- Changes that go on to downstreams, and beginnings of partnerships.
insert into change (change_no, event_no, cause_no, organization_no, category, downstream_no, beginning, merges,
                    payload)
select c.change_no, c.event_no, c.cause_no, c.organization_no, c.category, c.downstream_no,
       c.beginning::partnership_beginning, c.merges, c.payload::json
  from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::int[], $5::text[], $6::int[], $7::text[],
              $8::boolean[], $9::text[])
       c (change_no, event_no, cause_no, organization_no, category, downstream_no, beginning, merges, payload)
