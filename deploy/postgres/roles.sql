-- The roles of channel-sync in a database of its own: who may change the schema, who may work, who may only look.
--
--   psql "$DATABASE_URL" -f deploy/postgres/roles.sql
--
-- as a superuser of the database that DATABASE_URL names: before the first `channel-sync migrate`, and again after
-- each one. It may be run any number of times. The roles can log in and have no password: set one by \password, or let
-- pg_hba.conf ask for a certificate. Other names: -v migrator=NAME -v worker=NAME -v reader=NAME.
--
--   migrator  owns the schema and all that is in it; `channel-sync migrate` runs as this role, and nothing else
--   worker    reads and writes rows, and makes and drops days of results by the functions for that; no more:
--             `channel-sync run` and all other commands run as this role
--   reader    reads the five views that docs/api.md promises, and nothing behind them
--
-- What later migrations add the worker may use at once. A view that a migration makes anew the reader sees only after
-- this script has run again.
\set ON_ERROR_STOP on
\set QUIET on
\if :{?migrator} \else \set migrator channel_sync_migrator
\endif
\if :{?worker} \else \set worker channel_sync_worker
\endif
\if :{?reader} \else \set reader channel_sync_reader
\endif
\set views '{setting_view,partnership_view,job_view,event_view,rejected_message_view}'

begin;
set local client_min_messages = warning;

-- Roles belong to the whole server: another database may have made them already.
select format('create role %I login', name)
  from unnest(array[:'migrator', :'worker', :'reader']) name
 where not exists (select from pg_roles where rolname = name)
\gexec
select format('alter role %I nosuperuser nocreatedb nocreaterole noreplication nobypassrls', name)
  from unnest(array[:'migrator', :'worker', :'reader']) name
\gexec

-- Nobody else connects, and nobody makes temporary tables.
select format('revoke all on database %I from public', current_database())
\gexec
select format('grant connect on database %I to %I, %I, %I', current_database(), :'migrator', :'worker', :'reader')
\gexec
-- Up to PostgreSQL 14, everybody could create here.
revoke create on schema public from public;

create schema if not exists channel_sync authorization :"migrator";
alter schema channel_sync owner to :"migrator";
revoke all on schema channel_sync from public, :"worker", :"reader";
grant usage on schema channel_sync to :"worker", :"reader";

-- What an earlier version, or another role, has made. The sequence of a column goes with its table.
select format('alter %s channel_sync.%I owner to %I',
              case relkind when 'v' then 'view' when 'S' then 'sequence' else 'table' end, relname, :'migrator')
  from pg_class
 where relnamespace = 'channel_sync'::regnamespace
   and relkind in ('r', 'p', 'v', 'S')
   and pg_get_userbyid(relowner) <> :'migrator'
   and not exists (select from pg_depend
                    where objid = pg_class.oid and classid = 'pg_class'::regclass and deptype in ('a', 'i')
                      and refclassid = 'pg_class'::regclass and relkind = 'S')
\gexec
select format('alter type channel_sync.%I owner to %I', typname, :'migrator')
  from pg_type
 where typnamespace = 'channel_sync'::regnamespace and typtype = 'e' and pg_get_userbyid(typowner) <> :'migrator'
\gexec
select format('alter routine %s owner to %I', oid::regprocedure, :'migrator')
  from pg_proc
 where pronamespace = 'channel_sync'::regnamespace and pg_get_userbyid(proowner) <> :'migrator'
\gexec

-- Rows, and nothing that goes beyond them: no TRUNCATE, no REFERENCES, no TRIGGER.
revoke all on all tables in schema channel_sync from public, :"worker", :"reader";
revoke all on all sequences in schema channel_sync from public, :"worker", :"reader";
grant select on all tables in schema channel_sync to :"worker";
select format('grant insert, update, delete on channel_sync.%I to %I', relname, :'worker')
  from pg_class
 where relnamespace = 'channel_sync'::regnamespace
   and relkind in ('r', 'p')
   and relname not in ('refinery_schema_history', 'operator_action')
\gexec
-- What operators did is written down, and stays as it was written.
select format('grant insert on channel_sync.%I to %I', relname, :'worker')
  from pg_class
 where relnamespace = 'channel_sync'::regnamespace and relname = 'operator_action'
\gexec
grant usage on all sequences in schema channel_sync to :"worker";

-- Days of results are made and dropped by functions that work as the migrator; nobody else calls these.
revoke execute on all functions in schema channel_sync from public, :"reader";
grant execute on all functions in schema channel_sync to :"worker";

-- What migrations add, from now on.
alter default privileges for role :"migrator" in schema channel_sync
    grant select, insert, update, delete on tables to :"worker";
alter default privileges for role :"migrator" in schema channel_sync
    grant usage on sequences to :"worker";
alter default privileges for role :"migrator" in schema channel_sync
    grant execute on functions to :"worker";

select format('grant select on channel_sync.%I to %I', relname, :'reader')
  from pg_class
 where relnamespace = 'channel_sync'::regnamespace and relkind = 'v' and relname = any (:'views'::name[])
\gexec

-- So that `channel-sync status` finds transactions of others that were forgotten. It shows the worker what statements
-- others run on this server, and none of their rows. Where that is too much, leave it out.
grant pg_read_all_stats to :"worker";

commit;
