-- Which of these letters somebody else has locked; locks the others. Never waits. Index: letter_pkey.
with free as materialized (
     select letter_no from letter where letter_no = any($1::bigint[]) for update skip locked
)
select letter_no from letter where letter_no = any($1::bigint[])
except
select letter_no from free
