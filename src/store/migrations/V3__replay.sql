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

create type replay_state as enum ('running', 'done', 'cancelled');
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
    -- Whether it was done before and changed something then: that counts as newer than older jobs even where the
    -- replay finds nothing to change.
    had_effect      boolean not null default false,
    -- Why it was refused.
    reason          text check ((reason is not null) = (state = 'refused')),
    primary key (replay_no, cause_no, organization_no)
);
create index replay_job_waiting on replay_job (replay_no, shard, cause_no, organization_no) where state = 'waiting';
create index replay_job_had_effect on replay_job (organization_no, cause_no) where had_effect;

-- Who did what, when and why: a row for everything that an operator changes, in the same transaction.
create table operator_action (
    action_no bigint generated always as identity primary key,
    at        timestamptz not null default now(),
    who       text not null,
    action    text not null,
    reason    text,
    subject   jsonb not null
);

-- Jobs that an operator can choose, by what they are: finished ones, and those that are tried again (and, asked for
-- by key, those that wait). Null where it does not matter. With why each is refused, where it is. One definition
-- for all that is shown and done; the planner puts it into the statement that calls it (see explain). Indexes:
-- job_not_succeeded, job_organization, job_pkey; the mailbox is small.
create function chosen_job(purpose text, causes bigint[], organizations int[], event bigint, upstream int,
                           organization int, in_category text, of_kind text, in_state text, with_error text,
                           since timestamptz, until timestamptz)
returns table (cause_no bigint, organization_no int, kind text, state text, error text, refusal text)
language sql stable
begin atomic
select j.cause_no,
       j.organization_no,
       j.kind,
       j.state,
       j.error,
       case
         when j.state = 'pending' then 'it waits to be done already'
         when j.found_wrong then 'its event was found wrong when it ran: see the rejected messages'
         when purpose = 'discard' and j.state in ('succeeded', 'discarded') then 'it has ' || j.state || ' already'
         when purpose = 'replay' and j.state = 'succeeded' and j.kind in ('own-change', 'partnership-change')
           then 'it has succeeded: done once more, it could undo what came later'
       end
  from (
       select f.cause_no,
              f.organization_no,
              case
                when c.beginning is not null then 'reconcile'
                when c.change_no is not null then 'sync-change'
                when e.type = 'partnership-changed' then 'partnership-change'
                else 'own-change'
              end as kind,
              f.state::text as state,
              f.last_error as error,
              f.state = 'discarded' and c.change_no is null and e.verdict = 'rejected' as found_wrong
         from job f
         left join change c on c.change_no = f.cause_no
         join event e on e.event_no = coalesce(c.event_no, f.cause_no)
        where (in_state is null or in_state <> 'retrying')
          and (in_state is distinct from 'failed' or f.state = 'failed')
          and (in_state is distinct from 'discarded' or f.state = 'discarded')
          and (in_state is distinct from 'succeeded' or f.state = 'succeeded')
          and (in_state is distinct from 'unfinished' or f.state = 'failed')
          and (causes is null or f.cause_no = any (causes))
          and (event is null
               or f.cause_no = any (array(select event
                                          union all
                                          select n.change_no from change n where n.event_no = event)))
          and (upstream is null
               or case when c.change_no is not null then c.organization_no
                       when e.type = 'partnership-changed' then e.organization_no end = upstream)
          and (organization is null or f.organization_no = organization)
          and (in_category is null or coalesce(c.category, e.category) = in_category)
          and (with_error is null or strpos(lower(f.last_error), lower(with_error)) > 0)
          and (since is null or f.finished_at >= since)
          and (until is null or f.finished_at <= until)
       union all
       select w.cause_no,
              w.organization_no,
              w.kind::text,
              case when w.attempts > 0 then 'retrying' else 'pending' end,
              w.last_error,
              false
         from waiting_job w
         left join change c on c.change_no = w.cause_no
         join event e on e.event_no = w.event_no
        where (in_state is null or in_state in ('retrying', 'unfinished'))
          and (w.attempts > 0 or causes is not null)
          and (causes is null or w.cause_no = any (causes))
          and (event is null or w.event_no = event)
          and (upstream is null
               or case when c.change_no is not null then c.organization_no
                       when e.type = 'partnership-changed' then e.organization_no end = upstream)
          and (organization is null or w.organization_no = organization)
          and (in_category is null or coalesce(c.category, e.category) = in_category)
          and (with_error is null or strpos(lower(w.last_error), lower(with_error)) > 0)
          and (since is null or w.created_at >= since)
          and (until is null or w.created_at <= until)
       ) j
 where (of_kind is null or j.kind = of_kind)
   and (causes is null
        or exists (select from unnest(causes, organizations) k (cause_no, organization_no)
                    where k.cause_no = j.cause_no and k.organization_no = j.organization_no));
end;
