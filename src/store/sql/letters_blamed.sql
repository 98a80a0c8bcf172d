-- Letters to blame, of shards that this transaction has locked, and whether the job of each was done before.
-- Indexes: letter_pkey, job_pkey.
select letter_no, organization_no, kind::text, attempts,
       exists (select
                 from job j
                where j.cause_no = letter.cause_no
                  and j.organization_no = letter.organization_no) as done
  from letter
 where letter_no = any($1::bigint[])
 order by position, cause_no, letter_no
