-- A letter whose job failed is due again later; its organization waits for it. Index: letter_pkey.
update letter
   set attempts = attempts + 1,
       last_error = $2,
       run_at = clock_timestamp() + $3::bigint * interval '1 millisecond'
 where letter_no = $1
