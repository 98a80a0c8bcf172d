-- How many strict partnerships there are; $1: of this upstream, $2: of this downstream. Indexes: partnership_pkey,
-- partnership_downstream, or the whole table, which is small.
select count(*)
  from partnership
 where mode = 'strict'
   and ($1::int is null or upstream_no = $1)
   and ($2::int is null or downstream_no = $2)
