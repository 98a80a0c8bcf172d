-- Jobs done, in the order in which they were done, where not all have succeeded (else: jobs_succeeded). A job that is
-- there already is a bug, and fails the batch.
insert into job (cause_no, organization_no, job_no, state, attempts, added, changed, removed, unchanged,
                 kept_own, declined, skipped, last_error, overtaken)
select j.cause_no, j.organization_no, nextval('job_no'), j.state::job_state, j.attempts, j.added, j.changed,
       j.removed, j.unchanged, j.kept_own, j.declined, j.skipped, j.last_error, j.overtaken
  from (select *
          from unnest($1::bigint[], $2::int[], $3::text[], $4::int[], $5::int[], $6::int[], $7::int[],
                      $8::int[], $9::int[], $10::int[], $11::text[], $12::text[], $13::int[])
               with ordinality j (cause_no, organization_no, state, attempts, added, changed, removed, unchanged,
                                  kept_own, declined, skipped, last_error, overtaken, place)
         order by place) j
