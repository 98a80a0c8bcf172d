-- What operators do about jobs that failed and messages that were not accepted: replays, discards, and a record
-- of who did what and why.

alter table letter
    -- An old job that is done once more: it touches nothing that something newer has written.
    add column replay boolean not null default false,
    -- How often the job was tried before it was replayed; the retries of a replay count from 0.
    add column attempts_before int not null default 0;

-- Entries that a replay left alone, since something newer had written them.
alter table job add column overtaken int not null default 0;

-- The event that last set the flags; null where that was before this column was there.
alter table partnership add column event_no bigint;

-- A job that is replayed may displace another state of the same entry: both are kept.
alter table archived_setting
    drop constraint archived_setting_pkey,
    add primary key (cause_no, organization_no, category, key, event_no);

alter table rejected_message
    -- The place in the order of events that it would have had: a replay takes it in there. Null where it was
    -- rejected before this column was there; for an event that was found wrong when it ran, event_no is it.
    add column place_no       bigint,
    add column settled_by     text,
    add column settled_reason text,
    add column settled_at     timestamptz;

create type replay_state as enum ('proposed', 'running', 'done', 'cancelled');
create type replay_job_state as enum ('waiting', 'sent', 'refused');

-- A replay that somebody asked for. It is worked off bit by bit, by whichever process comes by.
create table replay (
    replay_no       bigint generated always as identity primary key,
    requested_by    text not null,
    reason          text not null,
    -- What was asked for, in the words of the command line.
    filter          jsonb not null,
    rate_per_second int check (rate_per_second > 0),
    state           replay_state not null,
    total           int not null default 0,
    sent            int not null default 0,
    refused         int not null default 0,
    -- When it may go on.
    next_at         timestamptz not null default now(),
    created_at      timestamptz not null default now(),
    -- When the last of its jobs was sent, or it was cancelled.
    finished_at     timestamptz check ((finished_at is not null) = (state in ('done', 'cancelled')))
);
create index replay_running on replay (next_at) where state = 'running';

-- The jobs of a replay, chosen when it was made: what runs is what was shown.
create table replay_job (
    replay_no       bigint not null,
    cause_no        bigint not null,
    organization_no int not null,
    shard           smallint not null generated always as ((organization_no % 16)::smallint) stored,
    -- The state of the job when it was chosen, and its error.
    was             text not null,
    error           text,
    state           replay_job_state not null,
    -- Why it was refused.
    reason          text check ((reason is not null) = (state = 'refused')),
    primary key (replay_no, cause_no, organization_no)
);
create index replay_job_waiting on replay_job (replay_no, shard, cause_no, organization_no) where state = 'waiting';

-- Who did what, when and why: a row for everything that an operator changes, in the same transaction.
create table operator_action (
    action_no bigint generated always as identity primary key,
    at        timestamptz not null default now(),
    who       text not null,
    action    text not null,
    reason    text,
    subject   jsonb not null
);

create or replace view waiting_job as
select l.cause_no, l.organization_no, l.event_no, l.kind, l.attempts, l.last_error, l.created_at, l.run_at,
       l.attempts_before
  from letter l
 where l.organization_no is not null
union all
select l.cause_no, p.downstream_no, l.event_no, l.kind, l.attempts, l.last_error, l.created_at, l.run_at,
       l.attempts_before
  from letter l
  join change c on c.change_no = l.cause_no
  join partnership p
    on p.upstream_no = c.organization_no
   and p.downstream_shard = l.shard
   and p.since_change_no < c.change_no
   and (p.mode = 'strict' or (p.mode in ('non-exclusive', 'flexible') and c.merges))
 where l.organization_no is null;

create or replace view job_view as
select j.cause_no || '-' || j.organization_no as idempotency_key,
       e.event_id,
       case
         when c.beginning is not null then 'reconcile'
         when c.change_no is not null then 'sync-change'
         when e.type = 'partnership-changed' then 'partnership-change'
         else 'own-change'
       end as kind,
       o.organization_id,
       upstream.organization_id as upstream_id,
       coalesce(c.category, e_own.category) as category,
       j.state,
       j.attempts,
       j.last_error,
       j.result,
       coalesce(c.made_at, e.received_at) as created_at,
       j.run_at,
       j.finished_at
  from (
       select cause_no, organization_no, state::text, attempts, last_error,
              jsonb_strip_nulls(jsonb_build_object(
                  'added', added, 'changed', changed, 'removed', removed, 'unchanged', unchanged,
                  'kept_own', kept_own, 'declined', nullif(declined, 0), 'overtaken', nullif(overtaken, 0),
                  'skipped', skipped)) as result,
              null::timestamptz as run_at,
              finished_at
         from job
       union all
       select cause_no, organization_no, case when attempts > 0 then 'retrying' else 'pending' end,
              attempts_before + attempts, last_error, null, run_at, null
         from waiting_job
       ) j
  join organization o on o.organization_no = j.organization_no
  left join change c on c.change_no = j.cause_no
  left join event e_own on e_own.event_no = j.cause_no
  join event e on e.event_no = coalesce(c.event_no, e_own.event_no)
  left join organization upstream
    on upstream.organization_no = case
         when c.change_no is not null then c.organization_no
         when e_own.type = 'partnership-changed' then e_own.organization_no
       end;
