-- Letters whose jobs failed are due again later, each after its delay; their organizations wait for them.
-- Index: letter_pkey.
update letter
   set attempts = attempts + 1,
       last_error = $3,
       run_at = clock_timestamp() + d.delay_ms * interval '1 millisecond'
  from unnest($1::bigint[], $2::bigint[]) d (letter_no, delay_ms)
 where letter.letter_no = d.letter_no
