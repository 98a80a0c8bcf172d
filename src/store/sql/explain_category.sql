-- How a category ($2) of an organization ($1) compares with those of its upstreams, at most $3 settings of each that
-- are not the same: what is missing here, what has another value, what the upstream does not have (but for what came
-- from another one). And how many there are in all. Indexes: partnership_downstream, setting_pkey, declined_pkey.
select u.organization_id as upstream_id,
       compared.same,
       compared.missing,
       compared.other,
       compared.extra,
       differing.key,
       differing.relation,
       differing.origin,
       differing.declined_event_id
  from partnership p
  join organization u on u.organization_no = p.upstream_no
 cross join lateral (
       select count(*) filter (where theirs.value_id = mine.value_id) as same,
              count(*) filter (where mine.key is null) as missing,
              count(*) filter (where theirs.value_id <> mine.value_id) as other,
              count(*) filter (where theirs.key is null
                                 and (mine.origin_no is null or mine.origin_no = p.upstream_no)) as extra
         from (select key, value_id from setting where organization_no = p.upstream_no and category = $2) theirs
         full join (select key, value_id, origin_no from setting where organization_no = $1 and category = $2) mine
           on mine.key = theirs.key
       ) compared
  left join lateral (
       select coalesce(theirs.key, mine.key) as key,
              case when mine.key is null then 'missing' when theirs.key is null then 'extra' else 'other' end
                  as relation,
              case when mine.key is not null then coalesce(o.organization_id, 'own') end as origin,
              e.event_id as declined_event_id
         from (select key, value_id from setting where organization_no = p.upstream_no and category = $2) theirs
         full join (select key, value_id, origin_no from setting where organization_no = $1 and category = $2) mine
           on mine.key = theirs.key
         left join organization o on o.organization_no = mine.origin_no
         left join declined d
           on d.downstream_no = $1 and d.upstream_no = p.upstream_no and d.category = $2 and d.key = theirs.key
              and mine.key is null
         left join event e on e.event_no = d.event_no
        where theirs.value_id is distinct from mine.value_id
          and (theirs.key is not null or mine.origin_no is null or mine.origin_no = p.upstream_no)
        order by 1
        limit $3
       ) differing on true
 where p.downstream_no = $1
 order by u.organization_id, differing.key
