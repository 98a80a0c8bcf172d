-- All entries of these organizations. Index: setting_pkey.
select s.organization_no, s.category, s.key, s.value_id, s.origin_no, s.event_no, s.added_event_no
  from setting s
 where s.organization_no = any($1::int[])
