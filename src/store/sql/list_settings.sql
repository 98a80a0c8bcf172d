-- Settings of an organization, by category and key, with the columns of setting_view. $2: of this category; $3: keys
-- that begin so; $4, $5: after this category and key. Not from the view, which would put together all settings of the
-- organization before it sorts them. Index: setting_pkey, in whose order they are read, no further than the limit.
select s.category,
       s.key,
       v.body as value,
       coalesce(upstream.organization_id, 'own') as origin,
       lock_holder.organization_id is not null as locked,
       lock_holder.organization_id as locked_by,
       e.event_id,
       s.updated_at
  from (select category, key, value_id, origin_no, event_no, updated_at, organization_no
          from setting
         where organization_no = (select organization_no from organization where organization_id = $1)
           and ($2::text is null or category = $2)
           and ($3::text is null or starts_with(key, $3))
           and ($4::text is null or (category, key) > ($4, $5::text))
         order by category, key
         limit $6) s
  join value v using (value_id)
  left join event e on e.event_no = s.event_no
  left join organization upstream on upstream.organization_no = s.origin_no
  left join lateral (
       select holder.organization_id
         from partnership p
         join category c on c.name = s.category and c.reach = 'ongoing'
         join organization holder on holder.organization_no = p.upstream_no
        where p.downstream_no = s.organization_no
          and p.mode = 'strict'
        limit 1
       ) lock_holder on true
 order by s.category, s.key
