-- Partnerships by the names of upstream and downstream, with the columns of partnership_view. $1: of this
-- organization, on either side; $2, $3: after this upstream and downstream. Not from the view: it could
-- not find the partnerships of one organization by the indexes partnership_pkey and partnership_downstream.
select upstream.organization_id as upstream_id,
       downstream.organization_id as downstream_id,
       p.status::text,
       p.exclusive,
       p.data_sync,
       p.allow_downstream_edit,
       p.mode::text,
       p.updated_at
  from partnership p
  join organization upstream on upstream.organization_no = p.upstream_no
  join organization downstream on downstream.organization_no = p.downstream_no
 where ($1::int is null or p.upstream_no = $1 or p.downstream_no = $1)
   and ($2::text is null or (upstream.organization_id, downstream.organization_id) > ($2, $3::text))
 order by 1, 2
 limit $4
