-- What a job ($1, $2: cause and organization) displaced, and what is there now, by category and key after $3, $4; $5 at
-- most; with the values where $6 says so. Of an entry that was displaced twice, since the job was replayed, the last
-- state. Indexes: archived_setting_pkey, in its order; setting_pkey, value_pkey.
select a.category, a.key, a.value_id, a.event_no, s.value_id as now_id, s.origin_no as now_origin_no,
       s.event_no as now_event_no, s.added_event_no as now_added_event_no,
       coalesce(origin.organization_id, case when s.key is not null then 'own' end) as now_origin,
       v.body as value, n.body as now
  from (select distinct on (category, key) *
          from archived_setting
         where cause_no = $1
           and organization_no = $2
           and ($3::text is null or (category, key) > ($3, $4::text))
         order by category, key, event_no desc
         limit $5) a
  left join setting s
    on s.organization_no = a.organization_no
   and s.category = a.category
   and s.key = a.key
  left join organization origin on origin.organization_no = s.origin_no
  left join value v on $6::boolean and v.value_id = a.value_id
  left join value n on $6::boolean and n.value_id = s.value_id
 order by a.category, a.key
