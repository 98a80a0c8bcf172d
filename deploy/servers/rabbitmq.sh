# shellcheck shell=bash
# The private RabbitMQ of deploy/dev, with the epmd (Erlang's name server) that it needs. Sourced.
# Node name, ports, cookie and all folders are its own; everything listens on 127.0.0.1 only.
# Speaks to the broker over HTTP by itself: a fresh Debian has no curl, and rabbitmqctl takes
# seconds for each call. Needs process.sh and tls.sh.
# shellcheck disable=SC2154 # $dev, $checkout and $first_port, from deploy/dev

# rabbitmq_server: the start script of the newest version here; fails if there is none.
# Debian's /usr/sbin/rabbitmq-server insists on the system's own user and folders.
rabbitmq_server() {
    local newest
    newest=$(printf '%s\n' /usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server | sort -V | tail -n 1)
    [ -x "$newest" ] && command -v epmd >/dev/null || return 1
    printf '%s\n' "$newest"
}

rabbitmq_url() {
    printf 'amqp://guest:guest@127.0.0.1:%s/%s\n' "$(port amqp)" "${1:-%2f}"
}

# The private broker over TLS: its certificate is for localhost.
rabbitmq_tls_url() {
    printf 'amqps://guest:guest@localhost:%s/%%2f\n' "$(port amqps)"
}

rabbitmq_management_url() {
    printf 'http://guest:guest@127.0.0.1:%s\n' "$(port management)"
}

# rabbitmq_configure USER FOLDER: writes the broker's files. Some are empty, so that those under
# /etc/rabbitmq are not read in their place.
rabbitmq_configure() {
    local user=$1 folder=$2
    mkdir -p "$folder"/{home,mnesia,log,config}
    : >"$folder/rabbitmq-env.conf"
    printf '[].\n' >"$folder/advanced.config"
    printf '[rabbitmq_management,rabbitmq_auth_mechanism_ssl].\n' >"$folder/enabled_plugins"
    tls_install "$user" "$folder"
    cat >"$folder/rabbitmq.conf" <<-END
		listeners.tcp.1 = 127.0.0.1:$(port amqp)
		listeners.ssl.1 = 127.0.0.1:$(port amqps)
		ssl_options.cacertfile = $folder/ca.pem
		ssl_options.certfile = $folder/server.pem
		ssl_options.keyfile = $folder/server-key.pem
		ssl_options.verify = verify_peer
		ssl_options.fail_if_no_peer_cert = false
		auth_mechanisms.1 = PLAIN
		auth_mechanisms.2 = AMQPLAIN
		auth_mechanisms.3 = EXTERNAL
		ssl_cert_login_from = common_name
		management.tcp.ip = 127.0.0.1
		management.tcp.port = $(port management)
		disk_free_limit.absolute = 50MB
		log.console = true
		log.console.use_colors = off
		log.file = false
	END
    if [ ! -s "$folder/home/.erlang.cookie" ]; then
        (umask 077 && od -An -N 24 -tx1 /dev/urandom | tr -d ' \n' >"$folder/home/.erlang.cookie")
        chmod 400 "$folder/home/.erlang.cookie"
    fi
    if [ "$(id -u)" = 0 ]; then chown -R "$user" "$folder"; fi
}

# rabbitmq_start_epmd: Erlang would start an epmd by itself, which outlives it; of this one we know
# the process id.
rabbitmq_start_epmd() {
    local user
    user=$(server_user rabbitmq)
    launch epmd "$user" "$(server_folder rabbitmq "$user")" \
        ERL_EPMD_ADDRESS=127.0.0.1 epmd -port "$(port epmd)"
    await epmd 10 port_taken "$(port epmd)"
}

rabbitmq_start() {
    local server user folder
    server=$(rabbitmq_server)
    user=$(server_user rabbitmq)
    folder=$(server_folder rabbitmq "$user")
    rabbitmq_stop || die "cannot start RabbitMQ next to an old one"
    choose_port amqp $((first_port + 672))
    choose_port amqps $((first_port + 671))
    choose_port management $((first_port + 673))
    choose_port distribution $((first_port + 674))
    choose_port epmd $((first_port + 675))
    rabbitmq_configure "$user" "$folder"

    rabbitmq_start_epmd
    say "starting RabbitMQ on 127.0.0.1:$(port amqp)"
    # RUNNING_UNDER_SYSTEMD: the start script becomes the server, in place of waiting for it.
    launch rabbitmq "$user" "$folder" \
        RUNNING_UNDER_SYSTEMD=true \
        HOME="$folder/home" \
        ERL_EPMD_PORT="$(port epmd)" \
        ERL_EPMD_ADDRESS=127.0.0.1 \
        ERL_CRASH_DUMP="$folder/log/erl_crash.dump" \
        RABBITMQ_NODENAME="channel-sync-$checkout@localhost" \
        RABBITMQ_DIST_PORT="$(port distribution)" \
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}" \
        RABBITMQ_CONF_ENV_FILE="$folder/rabbitmq-env.conf" \
        RABBITMQ_CONFIG_FILE="$folder/rabbitmq.conf" \
        RABBITMQ_ADVANCED_CONFIG_FILE="$folder/advanced.config" \
        RABBITMQ_GENERATED_CONFIG_DIR="$folder/config" \
        RABBITMQ_ENABLED_PLUGINS_FILE="$folder/enabled_plugins" \
        RABBITMQ_MNESIA_BASE="$folder/mnesia" \
        RABBITMQ_LOG_BASE="$folder/log" \
        RABBITMQ_PID_FILE="$folder/pid" \
        "$server"
}

# rabbitmq_control ARGUMENTS…: rabbitmqctl for our node. It takes seconds: for what no API offers.
rabbitmq_control() (
    local server
    server=$(rabbitmq_server)
    as_user "$(server_user rabbitmq)" env -i PATH=/usr/local/bin:/usr/bin:/bin LC_ALL=C.UTF-8 \
        HOME="$dev/rabbitmq/home" \
        ERL_EPMD_PORT="$(port epmd)" \
        ERL_EPMD_ADDRESS=127.0.0.1 \
        RABBITMQ_NODENAME="channel-sync-$checkout@localhost" \
        RABBITMQ_CTL_ERL_ARGS="-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}" \
        RABBITMQ_CONF_ENV_FILE="$dev/rabbitmq/rabbitmq-env.conf" \
        "${server%/*}/rabbitmqctl" "$@" </dev/null
)

# management METHOD PATH [FILE]: one request to the management API with FILE as its body; prints
# the answer's body; fails unless it succeeded. A subshell, so that the connection ends with it.
management() (
    size=0
    if [ -n "${3:-}" ]; then size=$(wc -c <"$3"); fi
    exec 3<>"/dev/tcp/127.0.0.1/$(port management)" || exit 1
    {
        printf '%s %s HTTP/1.0\r\nHost: localhost\r\nAuthorization: Basic %s\r\n' \
            "$1" "$2" "$(printf guest:guest | base64)"
        printf 'Content-Type: application/json\r\nContent-Length: %s\r\n\r\n' "$size"
        if [ -n "${3:-}" ]; then cat "$3"; fi
    } >&3
    answer=$(timeout 60 cat <&3) || exit 1
    printf '%s\n' "${answer#*$'\r\n\r\n'}"
    [[ $answer =~ ^HTTP/1\.[01]\ 2 ]]
)

# rabbitmq_answers: the broker greets an AMQP client, and its management API lets us in.
rabbitmq_answers() {
    rabbitmq_greets && management GET /api/overview >/dev/null 2>&1
}

rabbitmq_greets() (
    exec 3<>"/dev/tcp/127.0.0.1/$(port amqp)" || exit 1
    printf 'AMQP\0\0\011\001' >&3
    [ "$(timeout 5 head -c 1 <&3 | od -An -tu1 | tr -d ' ')" = 1 ]
) 2>/dev/null

# rabbitmq_wait DEFINITIONS: until the broker answers; then brings the topology and the policy in.
rabbitmq_wait() {
    local answer
    await rabbitmq 180 rabbitmq_answers
    answer=$(management POST /api/definitions "$1") || die "RabbitMQ refused $1: $answer"
}

# rabbitmq_fresh_vhost NAME: an empty virtual host with the policy of the default one.
#
# The policy goes first, with a moment for that: where a queue is deleted while its dead-lettering begins, right after
# the broker's start, RabbitMQ 3.10 loses the supervisor of all dead-lettering (docs/faults.md).
rabbitmq_fresh_vhost() {
    local answer policy=channel-sync.events file="$dev/policy.json"
    if management DELETE "/api/policies/$1/$policy" >/dev/null 2>&1; then sleep 1; fi
    management DELETE "/api/vhosts/$1" >/dev/null 2>&1 || true
    answer=$(management PUT "/api/vhosts/$1") || die "RabbitMQ refused the virtual host $1: $answer"
    management GET "/api/policies/%2f/$policy" >"$file" || die "RabbitMQ has no policy $policy"
    answer=$(management PUT "/api/policies/$1/$policy" "$file") || die "RabbitMQ refused the policy: $answer"
    rm -f "$file"
}

rabbitmq_stop() {
    local failed=0
    stop rabbitmq TERM 60 && stop_strays rabbitmq beam.smp "$dev/rabbitmq" TERM || failed=1
    stop epmd TERM 10 && stop_strays epmd epmd "$dev/rabbitmq" TERM || failed=1
    return "$failed"
}
