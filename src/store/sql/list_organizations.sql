-- Organizations by name, with how many active partnerships each has on either side, and whether it is paused. $1: whose
-- names begin so; $2: this one alone; $3: after this one; $4: at most so many. Index: organization_organization_id_key,
-- in whose order they are read, no further than the limit; partnership_downstream, partnership_pkey. Partnerships are
-- counted for the page at once: one by one, each would be a scan where most of them have the same upstream.
with page as materialized (
     select organization_no, organization_id
       from organization
      where ($1::text is null or starts_with(organization_id, $1))
        and ($2::text is null or organization_id = $2)
        and ($3::text is null or organization_id > $3)
      order by organization_id
      limit $4
),
above as materialized (
     select downstream_no as organization_no, count(*) as partnerships
       from partnership
      where downstream_no = any (array(select organization_no from page)) and status = 'active'
      group by 1
),
below as materialized (
     select upstream_no as organization_no, count(*) as partnerships
       from partnership
      where upstream_no = any (array(select organization_no from page)) and status = 'active'
      group by 1
)
select page.organization_id,
       coalesce(above.partnerships, 0) as upstreams,
       coalesce(below.partnerships, 0) as downstreams,
       p.organization_no is not null as paused
  from page
  left join above using (organization_no)
  left join below using (organization_no)
  left join pause p using (organization_no)
 order by page.organization_id
