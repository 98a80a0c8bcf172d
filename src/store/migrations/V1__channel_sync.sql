-- Everything that must not be lost, and the views that readers rely on.
--
-- Tables are written by channel-sync alone and may change; the views at the end keep their names and
-- columns. There are no foreign keys between the hot tables: every row is written in the transaction that
-- writes what it refers to, and a check per row would cost as much as the row.

-- Events and changes draw their numbers from one sequence: either can be the cause of a job.
create sequence cause_no as bigint;

create type setting_kind as enum ('collection', 'default');
create type setting_reach as enum ('ongoing', 'onboarding-only', 'never');
create type event_type as enum ('setting-changed', 'partnership-changed');
create type event_verdict as enum ('accepted', 'ignored', 'superseded', 'locked', 'rejected');
create type partnership_status as enum ('active', 'ended');
create type partnership_mode as enum ('off', 'non-exclusive', 'flexible', 'strict');
create type partnership_beginning as enum ('new-organization', 'existing-organization', 'became-strict');
create type job_kind as enum ('own-change', 'partnership-change', 'sync-change', 'reconcile');
create type job_state as enum ('succeeded', 'failed', 'discarded');
create type rejected_state as enum ('rejected', 'replayed', 'discarded');

-- The catalogue that the service runs with, for the views: written anew at every start.
create table category (
    name  text primary key,
    kind  setting_kind not null,
    reach setting_reach not null
);

create table organization (
    organization_no int generated always as identity primary key,
    organization_id text not null unique,
    -- domain::SHARDS; one executor at a time works on a shard.
    shard           smallint not null generated always as ((organization_no % 16)::smallint) stored,
    -- Where its own changes stand: domain::world::LastChange.
    last_change_no  bigint not null default 0,
    last_position   bigint not null default 0
);

-- Values by content: a value that a thousand partners have is stored once.
create table value (
    value_id uuid primary key,
    body     jsonb not null
);

create table event (
    event_no        bigint primary key,
    source          text not null,
    event_id        text not null,
    -- SHA-256 of type and data: tells a duplicate from an id that was used again.
    content         bytea not null check (octet_length(content) = 32),
    type            event_type not null,
    -- Whose settings it edits, or the upstream of the partnership.
    organization_no int not null,
    downstream_no   int check ((downstream_no is not null) = (type = 'partnership-changed')),
    category        text check ((category is not null) = (type = 'setting-changed')),
    -- What it says, as store::payload writes it; none where the event is ignored.
    payload         json check ((payload is null) = (verdict = 'ignored')),
    verdict         event_verdict not null default 'accepted',
    traceparent     text,
    received_at     timestamptz not null default now(),
    -- The message, kept for events that can be found wrong only when they run.
    body            bytea,
    properties      jsonb,
    -- The id first: people look for it alone.
    unique (event_id, source)
);
create index event_organization on event (organization_no, event_no);

-- What an event effectively changed in one category of one organization, or the beginning of a partnership.
create table change (
    change_no       bigint primary key,
    event_no        bigint not null,
    cause_no        bigint not null,
    organization_no int not null,
    category        text,
    downstream_no   int,
    beginning       partnership_beginning,
    -- Whether a merge takes something from it: a collection, and an entry that is new.
    merges          boolean not null,
    payload         json,
    made_at         timestamptz not null default now(),
    check (num_nulls(category, payload) in (0, 2)),
    check (num_nulls(downstream_no, beginning) in (0, 2)),
    check ((category is null) = (downstream_no is not null))
);
create index change_event on change (event_no);

-- Work to do. A letter leaves in the transaction that writes its effect. The table stays small and is
-- written all the time: vacuum it early.
create table letter (
    letter_no       bigint generated always as identity primary key,
    shard           smallint not null,
    position        bigint not null,
    cause_no        bigint not null,
    event_no        bigint not null,
    kind            job_kind not null,
    -- Null: all downstreams, in this shard, of the organization that the change is of.
    organization_no int check (organization_no is not null or kind = 'sync-change'),
    -- How many entries it writes at most.
    weight          bigint not null check (weight >= 0),
    attempts        int not null default 0,
    last_error      text,
    created_at      timestamptz not null default now(),
    run_at          timestamptz not null default now()
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
create index letter_order on letter (shard, position, cause_no, letter_no);
create index letter_organization on letter (organization_no, position) where organization_no is not null;
create index letter_event on letter (event_no);
create index letter_partnership on letter (position) where kind = 'partnership-change';

create sequence job_no as bigint;

-- What became of one organization for one cause: the idempotency key.
create table job (
    cause_no        bigint not null,
    organization_no int not null,
    job_no          bigint not null default nextval('job_no'),
    state           job_state not null,
    attempts        int not null,
    added           int not null default 0,
    changed         int not null default 0,
    removed         int not null default 0,
    unchanged       int not null default 0,
    kept_own        int not null default 0,
    declined        int not null default 0,
    skipped         text,
    last_error      text check (last_error is not null or state <> 'failed'),
    finished_at     timestamptz not null default now(),
    primary key (cause_no, organization_no)
);
create index job_organization on job (organization_no, cause_no);
create index job_not_succeeded on job (cause_no, organization_no) where state <> 'succeeded';

create table setting (
    organization_no int not null,
    category        text not null,
    key             text not null,
    value_id        uuid not null,
    -- The upstream that it was synced from; null: the organization's own.
    origin_no       int,
    -- The root event that last wrote it, and the one that brought it into being here.
    event_no        bigint not null,
    added_event_no  bigint not null,
    updated_at      timestamptz not null default now(),
    primary key (organization_no, category, key)
);

-- Entries that a downstream deleted after they had been synced to it: no merge brings them back, until the
-- upstream adds them by an event later than this one.
create table declined (
    downstream_no int not null,
    upstream_no   int not null,
    category      text not null,
    key           text not null,
    event_no      bigint not null,
    primary key (downstream_no, upstream_no, category, key)
);

create table partnership (
    upstream_no           int not null,
    downstream_no         int not null,
    downstream_shard      smallint not null generated always as ((downstream_no % 16)::smallint) stored,
    status                partnership_status not null,
    exclusive             boolean not null,
    data_sync             boolean not null,
    allow_downstream_edit boolean,
    -- What the flags amount to: domain::partnership::Terms::mode.
    mode                  partnership_mode not null,
    -- The last change of the upstream that the downstream need not be told of.
    since_change_no       bigint not null,
    version               bigint,
    updated_at            timestamptz not null default now(),
    primary key (upstream_no, downstream_no),
    check (upstream_no <> downstream_no)
);
create index partnership_downstream on partnership (downstream_no);
create index partnership_shard on partnership (upstream_no, downstream_shard);

-- The largest version seen in events of an organization and category.
create table category_version (
    organization_no int not null,
    category        text not null,
    version         bigint not null,
    primary key (organization_no, category)
);

-- What a match displaced, with the job that did.
create table archived_setting (
    cause_no        bigint not null,
    organization_no int not null,
    category        text not null,
    key             text not null,
    value_id        uuid not null,
    origin_no       int,
    event_no        bigint not null,
    primary key (cause_no, organization_no, category, key)
);

create table rejected_message (
    rejected_id bigint generated always as identity primary key,
    received_at timestamptz not null default now(),
    code        text not null,
    reason      text not null,
    body        bytea not null,
    properties  jsonb not null,
    state       rejected_state not null default 'rejected',
    -- SHA-256 of body and properties: a redelivered message is not stored twice. Of the body alone, for an
    -- event that was found wrong when it ran, which no redelivery brings here again.
    digest      bytea not null,
    -- The event that was found wrong when it ran.
    event_no    bigint
);
create index rejected_message_digest on rejected_message (digest);

-- What readers rely on: names and columns stay.

create view setting_view as
select o.organization_id,
       s.category,
       s.key,
       v.body as value,
       coalesce(upstream.organization_id, 'own') as origin,
       lock_holder.organization_id is not null as locked,
       lock_holder.organization_id as locked_by,
       e.event_id,
       s.updated_at
  from setting s
  join organization o using (organization_no)
  join value v using (value_id)
  left join event e on e.event_no = s.event_no
  left join organization upstream on upstream.organization_no = s.origin_no
  left join lateral (
       select holder.organization_id
         from partnership p
         join category c on c.name = s.category and c.reach = 'ongoing'
         join organization holder on holder.organization_no = p.upstream_no
        where p.downstream_no = s.organization_no
          and p.mode = 'strict'
        limit 1
  ) lock_holder on true;

create view partnership_view as
select upstream.organization_id as upstream_id,
       downstream.organization_id as downstream_id,
       p.status::text as status,
       p.exclusive,
       p.data_sync,
       p.allow_downstream_edit,
       p.mode::text as mode,
       p.updated_at
  from partnership p
  join organization upstream on upstream.organization_no = p.upstream_no
  join organization downstream on downstream.organization_no = p.downstream_no;

-- Jobs that are still to be done: a letter to a shard stands for one job of each downstream there that the
-- rules reach as things are now (domain::decide::reaching_rule).
create view waiting_job as
select l.cause_no, l.organization_no, l.event_no, l.kind, l.attempts, l.last_error, l.created_at, l.run_at
  from letter l
 where l.organization_no is not null
union all
select l.cause_no, p.downstream_no, l.event_no, l.kind, l.attempts, l.last_error, l.created_at, l.run_at
  from letter l
  join change c on c.change_no = l.cause_no
  join partnership p
    on p.upstream_no = c.organization_no
   and p.downstream_shard = l.shard
   and p.since_change_no < c.change_no
   and (p.mode = 'strict' or (p.mode in ('non-exclusive', 'flexible') and c.merges))
 where l.organization_no is null;

create view job_view as
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
                  'kept_own', kept_own, 'declined', nullif(declined, 0), 'skipped', skipped)) as result,
              null::timestamptz as run_at,
              finished_at
         from job
       union all
       select cause_no, organization_no, case when attempts > 0 then 'retrying' else 'pending' end,
              attempts, last_error, null, run_at, null
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

create view event_view as
select e.event_id,
       e.source,
       e.type::text as type,
       o.organization_id,
       e.category,
       case
         when e.verdict in ('ignored', 'superseded', 'locked', 'rejected') then e.verdict::text
         when done.failed > 0 then 'failed'
         when waiting.own then 'accepted'
         when waiting.jobs > 0 or waiting.letters > 0 then 'syncing'
         else 'done'
       end as state,
       e.received_at,
       case
         when e.verdict = 'ignored' then e.received_at
         when waiting.letters = 0 then done.finished_at
       end as finished_at,
       (done.jobs + waiting.jobs)::int as jobs_total,
       done.succeeded::int as jobs_succeeded,
       done.failed::int as jobs_failed
  from event e
  join organization o using (organization_no)
  cross join lateral (
       select count(*) as jobs,
              count(*) filter (where j.state = 'succeeded') as succeeded,
              count(*) filter (where j.state = 'failed') as failed,
              max(j.finished_at) as finished_at
         from (select e.event_no as cause_no
               union all
               select c.change_no from change c where c.event_no = e.event_no) causes
         join job j using (cause_no)
  ) done
  cross join lateral (
       select (select count(*) from letter l where l.event_no = e.event_no) as letters,
              (select count(*) from waiting_job w where w.event_no = e.event_no) as jobs,
              exists (select from letter l where l.event_no = e.event_no and l.cause_no = e.event_no) as own
       -- Kept together by the planner: each is counted once, not for every use.
       offset 0
  ) waiting;

create view rejected_message_view as
select rejected_id, received_at, code, reason, body, properties, state::text as state
  from rejected_message;
