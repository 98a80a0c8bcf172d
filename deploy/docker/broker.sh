#!/bin/sh
# What channel-sync needs of RabbitMQ: topology and policy, two users, and what these may do. May be run again.
# RABBITMQ_URL: the management API. RABBITMQ_USER and RABBITMQ_PASSWORD: an administrator. DEFINITIONS, SECRETS: folders.
set -eu
host=${RABBITMQ_URL#*://}
admin() {
    rabbitmqadmin --host="${host%:*}" --port="${host##*:}" --username="$RABBITMQ_USER" --password="$RABBITMQ_PASSWORD" "$@"
}
admin import "$DEFINITIONS/definitions.json"
for user in service publisher; do
    admin declare user name="channel-sync-$user" password="$(cat "$SECRETS/broker-$user")" tags=
done
admin import "$DEFINITIONS/permissions.json"
