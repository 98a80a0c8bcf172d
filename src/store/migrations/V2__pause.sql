-- What executors leave alone until somebody resumes it: one organization, or (null) everything.
create table pause (
    organization_no int unique nulls not distinct,
    paused_by       text not null,
    reason          text not null,
    paused_at       timestamptz not null default now()
);
