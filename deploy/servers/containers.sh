# shellcheck shell=bash
# The servers of deploy/dev in containers, where neither a package of the system nor apt has them but a Docker engine
# answers: the services `rabbitmq` and `postgres` of deploy/docker/compose.yaml, in a project of this checkout's own.
# Sourced by deploy/dev after the files whose functions it replaces: those that start, ask and stop a server.
# shellcheck disable=SC2154 # $root, $dev, $checkout and $first_port, from deploy/dev
# shellcheck disable=SC2317 # called by name

# containers_wanted: some server is not installed, apt is not there to install it, and an engine is.
containers_wanted() {
    if rabbitmq_server >/dev/null && postgres_bin >/dev/null; then return 1; fi
    ! command -v apt-get >/dev/null && command -v docker >/dev/null &&
        docker compose version >/dev/null 2>&1 && docker info >/dev/null 2>&1
}

# compose ARGUMENTS…: of this checkout's project. Whoever connects to Postgres on loopback is trusted, as by
# deploy/dev's own servers; so is the broker's guest.
compose() {
    RABBITMQ_USER=guest RABBITMQ_PASSWORD=guest POSTGRES_PASSWORD=trusted POSTGRES_HOST_AUTH_METHOD=trust \
        POSTGRES_CONNECTIONS_MAX=300 AMQP_PORT=$(port amqp) MANAGEMENT_PORT=$(port management) \
        POSTGRES_PORT=$(port postgres) \
        docker compose --project-name "channel-sync-$checkout" --file "$root/deploy/docker/compose.yaml" "$@" </dev/null
}

# containers_use: from here on, the functions below stand for those of the other files.
containers_use() {
    install_missing() { :; }

    # running_pid NAME: what stands for a process id is the container's.
    running_pid() {
        local id
        if [ "$1" = epmd ]; then set -- rabbitmq; fi
        port "$1" >/dev/null || { [ "$1" = rabbitmq ] && port amqp >/dev/null; } || return 1
        id=$(compose ps --quiet --status running "$1" 2>/dev/null) && [ -n "$id" ] || return 1
        printf '%s\n' "${id:0:8}"
    }

    # Every port that compose.yaml names must be known, whichever service is started.
    known_port() { port "$1" >/dev/null || choose_port "$1" "$2"; }

    rabbitmq_start() {
        choose_port amqp $((first_port + 672))
        choose_port management $((first_port + 673))
        known_port postgres $((first_port + 432))
        container_start rabbitmq
    }

    rabbitmq_start_epmd() { :; }

    postgres_start() {
        known_port amqp $((first_port + 672))
        known_port management $((first_port + 673))
        choose_port postgres $((first_port + 432))
        container_start postgres
    }

    postgres_client() {
        local program=$1
        shift
        compose exec --no-TTY postgres "$program" -h 127.0.0.1 -U channel_sync "$@"
    }

    postgres_stop() { container_stop postgres; }

    rabbitmq_stop() { container_stop rabbitmq; }

    rabbitmq_control() { compose exec --no-TTY rabbitmq rabbitmqctl "$@"; }

    log_of() { printf 'docker logs %s\n' "$(running_pid "$1")"; }

    log_tail() {
        printf -- '--- the last lines of %s\n' "$1" >&2
        compose logs --tail 40 "$1" >&2 || true
        printf -- '---\n' >&2
    }
}

container_start() {
    say "starting $1 in a container"
    compose up --detach "$1" >&2 || die "docker compose could not start $1, see above"
}

container_stop() {
    if ! running_pid "$1" >/dev/null; then return 0; fi
    say "stopping $1"
    compose stop "$1" >&2
}
