-- Pausing, and finding letters that were tried without reading all others.

create table pause (
    -- Null: all execution.
    organization_no int unique nulls not distinct,
    paused_by       text not null,
    reason          text not null,
    paused_at       timestamptz not null default now()
);

-- Who waits for a letter that is not due. Only letters that were tried are.
create index letter_attempted on letter (shard) where attempts > 0;
