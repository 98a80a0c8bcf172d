-- Letters of which a part was done stay at their places and remember how far they have come. A part that went
-- through shows that the job does not fail for ever: its attempts are counted anew. Index: letter_pkey.
update letter l
   set after_member_no = c.after_member_no,
       after_category = c.after_category,
       after_key = c.after_key,
       added = c.added,
       changed = c.changed,
       removed = c.removed,
       unchanged = c.unchanged,
       kept_own = c.kept_own,
       declined = c.declined,
       overtaken = c.overtaken,
       weight = c.weight,
       attempts = 0,
       last_error = null
  from unnest($1::bigint[], $2::int[], $3::text[], $4::text[], $5::int[], $6::int[], $7::int[], $8::int[],
              $9::int[], $10::int[], $11::int[], $12::bigint[])
       c (letter_no, after_member_no, after_category, after_key, added, changed, removed, unchanged, kept_own,
          declined, overtaken, weight)
 where l.letter_no = c.letter_no
