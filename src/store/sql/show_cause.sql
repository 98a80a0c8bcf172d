-- The root event of a cause, which is an event itself or a change. Indexes: event_pkey, change_pkey.
select event_no from event where event_no = $1
union all
select event_no from change where change_no = $1
