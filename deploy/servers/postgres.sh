# shellcheck shell=bash
# The private PostgreSQL of deploy/dev. Sourced by it.
# Stock settings, fsync included, but for the address, the port and the number of connections.
# It listens on 127.0.0.1 only, trusts whoever connects there, and has no Unix socket. It takes TLS as well.
# For tests of what is refused: the database cert_only takes nothing but TLS with a client's certificate, and
# members of the role password_only need their password.
# Needs process.sh and tls.sh.
# shellcheck disable=SC2154 # $dev and $first_port, from deploy/dev

# postgres_bin: the folder of the server programs: those that made our data, or else the newest;
# fails if there are none.
postgres_bin() {
    local newest version
    if version=$(cat "$dev/postgres/data/PG_VERSION" 2>/dev/null) &&
        [ -x "/usr/lib/postgresql/$version/bin/initdb" ]; then
        printf '%s\n' "/usr/lib/postgresql/$version/bin"
        return
    fi
    newest=$(printf '%s\n' /usr/lib/postgresql/*/bin/initdb | sort -V | tail -n 1)
    if [ ! -x "$newest" ]; then newest=$(command -v initdb) || return 1; fi
    dirname "$newest"
}

# postgres_client PROGRAM ARGUMENTS…: psql, createdb, … as the superuser of the private server.
postgres_client() {
    local program=$1
    shift
    env -i PATH=/usr/bin:/bin LC_ALL=C.UTF-8 "$(postgres_bin)/$program" \
        -h 127.0.0.1 -p "$(port postgres)" -U channel_sync "$@" </dev/null
}

postgres_url() {
    printf 'postgres://channel_sync@127.0.0.1:%s/channel_sync\n' "$(port postgres)"
}

postgres_create_cluster() {
    local bin=$1 user=$2 folder=$3
    say "creating a PostgreSQL cluster in $folder"
    mkdir -p "$dev/log"
    rm -rf "$folder/data.new"
    if ! (cd "$folder" && as_user "$user" env -i PATH=/usr/bin:/bin LC_ALL=C.UTF-8 "$bin/initdb" \
        --pgdata "$folder/data.new" --username channel_sync --auth trust \
        --encoding UTF8 --locale C.UTF-8) >"$dev/log/initdb.log" 2>&1 </dev/null; then
        log_tail initdb
        die "initdb failed"
    fi
    mv "$folder/data.new" "$folder/data"
}

postgres_start() {
    local bin user folder
    bin=$(postgres_bin)
    user=$(server_user postgres)
    folder=$(server_folder postgres "$user")
    if [ ! -f "$folder/data/PG_VERSION" ]; then postgres_create_cluster "$bin" "$user" "$folder"; fi
    local made_by major
    made_by=$(cat "$folder/data/PG_VERSION")
    major=$("$bin/postgres" --version | grep -Eo '[0-9]+' | head -n 1)
    [ "$made_by" = "$major" ] ||
        die "$folder/data was made by PostgreSQL $made_by, and here is $major: remove it (deploy/dev down first)"
    postgres_stop || die "cannot start PostgreSQL next to an old one"
    # Nobody works in the folder any more, whatever this file says of a server that was killed.
    rm -f "$folder/data/postmaster.pid"
    choose_port postgres $((first_port + 432))
    tls_install "$user" "$folder"
    # A role and a database for what must not be trusted: with a password, or with a certificate.
    cat >"$folder/data/pg_hba.conf" <<-END
		hostssl cert_only all 127.0.0.1/32 cert
		host cert_only all 127.0.0.1/32 reject
		host all +password_only 127.0.0.1/32 scram-sha-256
		host all all 127.0.0.1/32 trust
	END
    say "starting PostgreSQL on 127.0.0.1:$(port postgres)"
    launch postgres "$user" "$folder" "$bin/postgres" -D "$folder/data" \
        -c listen_addresses=127.0.0.1 -c port="$(port postgres)" \
        -c unix_socket_directories= -c max_connections=300 \
        -c ssl=on -c ssl_ca_file="$folder/ca.pem" \
        -c ssl_cert_file="$folder/server.pem" -c ssl_key_file="$folder/server-key.pem"
}

postgres_answers() {
    postgres_client pg_isready -q
}

postgres_wait() {
    await postgres 120 postgres_answers
    local found
    found=$(postgres_client psql -XAtc "SELECT 1 FROM pg_database WHERE datname = 'channel_sync'" postgres)
    if [ -z "$found" ]; then postgres_client createdb channel_sync; fi
}

# postgres_fresh_database NAME: an empty database of that name, whatever there was.
postgres_fresh_database() {
    postgres_client dropdb --if-exists --force "$1" 2>/dev/null
    postgres_client createdb "$1"
}

postgres_stop() {
    # SIGINT is the "fast" shutdown: it does not wait for clients to leave.
    stop postgres INT 60 && stop_strays postgres postgres "$dev/postgres/data" INT
}
