-- An organization, or (null) everything, goes on.
delete from pause
 where organization_no is not distinct from $1::int
returning paused_by, reason, paused_at
