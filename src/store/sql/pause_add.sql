-- What executors leave alone from now on: an organization, or (null) everything. No row where it was paused before.
insert into pause (organization_no, paused_by, reason)
values ($1, $2, $3)
    on conflict do nothing
returning paused_at
