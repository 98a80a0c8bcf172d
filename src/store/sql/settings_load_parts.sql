-- The first entries of organizations ($1) after a place ($2, $3), as many as $4 each, in the categories $5.
-- Index: setting_pkey, in whose order they are read, no further than the limit.
select s.organization_no, s.category, s.key, s.value_id, s.origin_no, s.event_no, s.added_event_no
  from unnest($1::int[], $2::text[], $3::text[], $4::bigint[])
       p (organization_no, after_category, after_key, entries_max)
 cross join lateral (
       select *
         from setting
        where setting.organization_no = p.organization_no
          and (setting.category, setting.key) > (p.after_category, p.after_key)
          and setting.category = any($5::text[])
        order by setting.category, setting.key
        limit p.entries_max
 ) s
