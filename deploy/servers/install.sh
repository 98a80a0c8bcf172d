#!/usr/bin/env bash
# Installs the Debian packages named as arguments, and starts none of their services.
# Runs as root, apart from deploy/dev, because deploy/dev may have to call it through sudo.
# What it changes for that on the system is only there while it runs: a policy that forbids
# packages to start services, and a setting that keeps PostgreSQL from creating a cluster.
set -euo pipefail

mark="# temporary, by channel-sync's deploy/dev"
policy=/usr/sbin/policy-rc.d
cluster=/etc/postgresql-common/createcluster.d/channel-sync-dev.conf

is_ours() {
    [ -f "$1" ] && grep -qF "$mark" "$1"
}

forbid_services() {
    # An administrator's own policy is left as it is.
    if [ ! -e "$policy" ] || is_ours "$policy"; then
        printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$policy"
        chmod 755 "$policy"
    fi
}

forbid_cluster() {
    mkdir -p "${cluster%/*}"
    printf '%s\ncreate_main_cluster = false\n' "$mark" >"$cluster"
}

undo() {
    rm -f "$cluster"
    rmdir --parents --ignore-fail-on-non-empty "${cluster%/*}" 2>/dev/null || true
    if is_ours "$policy"; then rm -f "$policy"; fi
}

# Debian enables the services of a new package for the next boot. Nobody asked for these.
disable_at_boot() {
    [ -d /run/systemd/system ] || return 0
    local unit
    for unit in "$@"; do
        systemctl disable --quiet "$unit" 2>/dev/null || true
    done
}

main() {
    export DEBIAN_FRONTEND=noninteractive
    local apt=(apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
    local had_erlang=no
    if [ -e /usr/bin/epmd ]; then had_erlang=yes; fi

    trap undo EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    forbid_services
    forbid_cluster
    "${apt[@]}" update
    "${apt[@]}" install --yes --no-install-recommends "$@"

    case " $* " in *" rabbitmq-server "*) disable_at_boot rabbitmq-server.service ;; esac
    if [ "$had_erlang" = no ]; then disable_at_boot epmd.service epmd.socket; fi
}

main "$@" </dev/null
