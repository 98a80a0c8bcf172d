-- Where the changes of organizations stand now. Their shards are locked by this transaction.
update organization o
   set last_change_no = n.change_no,
       last_position = n.position
  from unnest($1::int[], $2::bigint[], $3::bigint[]) n (organization_no, change_no, position)
 where o.organization_no = n.organization_no
