-- Organizations by name, with how many active partnerships each has on either side, and whether it is paused. $1: whose
-- names begin so; $2: this one alone; $3: after this one; $4: at most so many. Index: organization_organization_id_key,
-- in whose order they are read, no further than the limit; partnership_downstream and partnership_pkey for the counts.
select o.organization_id,
       (select count(*) from partnership p where p.downstream_no = o.organization_no and p.status = 'active')
         as upstreams,
       (select count(*) from partnership p where p.upstream_no = o.organization_no and p.status = 'active')
         as downstreams,
       exists (select from pause p where p.organization_no = o.organization_no) as paused
  from (select organization_no, organization_id
          from organization
         where ($1::text is null or starts_with(organization_id, $1))
           and ($2::text is null or organization_id = $2)
           and ($3::text is null or organization_id > $3)
         order by organization_id
         limit $4) o
 order by o.organization_id
