-- What a job displaced. Index: archived_setting_pkey.
select a.category,
       a.key,
       v.body as value,
       coalesce(upstream.organization_id, 'own') as origin,
       e.event_id
  from archived_setting a
  join value v using (value_id)
  left join event e on e.event_no = a.event_no
  left join organization upstream on upstream.organization_no = a.origin_no
 where a.cause_no = $1
   and a.organization_no = $2
 order by a.category, a.key
