-- What changed. Index: change_pkey.
select change_no, event_no, cause_no, organization_no, category, payload::text, downstream_no,
       beginning::text
  from change
 where change_no = any($1::bigint[])
