-- Where the first partnership-change outside this batch ($1) stands. Index: letter_partnership.
select min(position)
  from letter
 where kind = 'partnership-change'
   and letter_no <> all($1::bigint[])
