-- In which ongoing categories downstreams ($2) differ from their upstreams ($1), and in how many entries of which kind;
-- $3: in this category. Reads both sides by the index setting_pkey, in its order, once for each partnership. Locks
-- nothing.
select p.upstream_no,
       p.downstream_no,
       c.name as category,
       differs.missing,
       differs.other,
       differs.extra,
       differs.origin
  from unnest($1::int[], $2::int[]) p (upstream_no, downstream_no)
 cross join category c
 cross join lateral (
       select count(*) filter (where here.key is null) as missing,
              count(*) filter (where there.value_id <> here.value_id) as other,
              count(*) filter (where there.key is null) as extra,
              count(*) filter (where there.value_id = here.value_id) as origin
         from (select key, value_id
                 from setting
                where organization_no = p.upstream_no
                  and category = c.name) there
         full join (select key, value_id, origin_no
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
   and differs.missing + differs.other + differs.extra + differs.origin > 0
 order by p.upstream_no, p.downstream_no, c.name
