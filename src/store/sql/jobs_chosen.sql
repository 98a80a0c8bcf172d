-- The jobs that an operator chose, grouped by what is to be shown of them: the largest groups first, $13 at most.
-- $1: replay or discard; the others are those of the function chosen_job, which says which indexes serve.
select kind, state, error, refusal, count(*) as jobs, sum(count(*)) over ()::bigint as jobs_total,
       coalesce(sum(count(*)) filter (where refusal is not null) over (), 0)::bigint as refused_total,
       now() as at
  from chosen_job($1, $2::bigint[], $3::int[], $4, $5, $6, $7, $8, $9, $10, $11, $12)
 group by kind, state, error, refusal
 order by jobs desc, kind, state, error, refusal
 limit $13
