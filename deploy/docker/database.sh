#!/bin/sh
# The three roles of channel-sync in Postgres, with their passwords. May be run again, and is, after the migration: only
# then can the reader be given the views. As a superuser, by libpq's variables. ROLES: roles.sql. SECRETS: a folder.
set -eu
psql --no-psqlrc --quiet --file "$ROLES"
for role in migrator worker reader; do
    psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set name="channel_sync_$role" \
        --set password="$(cat "$SECRETS/database-$role")" <<'SQL'
alter role :"name" password :'password';
SQL
done
