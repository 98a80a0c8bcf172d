-- The entries in which downstreams ($2) differ from their upstreams ($1), the first $4 of them; $3: in this category.
-- As verify_compare, in the same transaction, for those that were found to differ. Indexes: setting_pkey, value_pkey,
-- event_pkey.
select upstream.organization_id as upstream_id,
       downstream.organization_id,
       d.category,
       d.key,
       case
         when d.here_id is null then 'missing'
         when d.there_id is null then 'extra'
         when d.here_id <> d.there_id then 'other'
         else 'origin'
       end as kind,
       here.body as here,
       there.body as there,
       case when d.here_id is not null then coalesce(origin.organization_id, 'own') end as origin,
       e.event_id
  from (select p.upstream_no,
               p.downstream_no,
               c.name collate "C" as category,
               differs.*
          from unnest($1::int[], $2::int[]) p (upstream_no, downstream_no)
         cross join category c
         cross join lateral (
               select key, there.value_id as there_id, here.value_id as here_id, here.origin_no, here.event_no
                 from (select key, value_id
                         from setting
                        where organization_no = p.upstream_no
                          and category = c.name) there
                 full join (select key, value_id, origin_no, event_no
                              from setting
                             where organization_no = p.downstream_no
                               and category = c.name) here using (key)
                where here.key is null
                   or there.key is null
                   or there.value_id <> here.value_id
                   or here.origin_no is distinct from p.upstream_no
               ) differs
         where c.reach = 'ongoing'
           and ($3::text is null or c.name = $3)
         order by p.upstream_no, p.downstream_no, c.name collate "C", differs.key
         limit $4) d
  join organization upstream on upstream.organization_no = d.upstream_no
  join organization downstream on downstream.organization_no = d.downstream_no
  left join organization origin on origin.organization_no = d.origin_no
  left join value here on here.value_id = d.here_id
  left join value there on there.value_id = d.there_id
  left join event e on e.event_no = d.event_no
 order by d.upstream_no, d.downstream_no, d.category, d.key
