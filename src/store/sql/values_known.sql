-- Which of these values are there. Index: value_pkey.
select value_id from value where value_id = any($1::uuid[])
