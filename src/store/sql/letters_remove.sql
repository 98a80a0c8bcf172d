-- Letters that are done leave. Index: letter_pkey.
delete from letter where letter_no = any($1::bigint[])
