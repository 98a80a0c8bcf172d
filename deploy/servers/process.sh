# shellcheck shell=bash
# Starting, recognising and stopping the processes of deploy/dev. Sourced by it.
# A process counts as ours only if its id *and* its start time are those in our pid file, so that
# an id that was used again after a crash or a reboot is never taken for a server, nor stopped. The
# file also names the checkout: a copy of the checkout does not own the original's servers.
# Needs from deploy/dev: $dev, $checkout, say, die.
# shellcheck disable=SC2154 # those variables

# read_stat PID: sets `stat` to the fields of /proc/PID/stat from the third on (see proc(5)): the
# second is a name that may hold anything. Fails if there is no such process (any more).
read_stat() {
    local line=""
    { IFS= read -r -d '' line <"/proc/$1/stat"; } 2>/dev/null || true
    read -ra stat <<<"${line##*) }"
    [ ${#stat[@]} -ge 20 ]
}

# process_stat PID N: field N of that file, from the third on.
process_stat() {
    local stat
    read_stat "$1" || return 1
    printf '%s\n' "${stat[$(($2 - 3))]}"
}

# is_alive PID START: the process of that id and start time exists, and is no zombie.
is_alive() {
    local stat
    read_stat "$1" && [ "${stat[0]}" != Z ] && [ "${stat[19]}" = "$2" ]
}

# running_pid NAME: the id of our process NAME; fails if it does not run.
running_pid() {
    local pid="" start="" owner=""
    [ -f "$dev/$1.pid" ] || return 1
    read -r pid start owner <"$dev/$1.pid" || return 1
    [[ $pid =~ ^[0-9]+$ ]] && [ "$owner" = "$checkout" ] && is_alive "$pid" "$start" || return 1
    printf '%s\n' "$pid"
}

is_running() {
    running_pid "$1" >/dev/null
}

# as_user USER COMMAND…: as USER when we are root, else as whom we are. Replaces the shell by it,
# hence always called in a subshell of its own.
as_user() {
    local user=$1
    shift
    if [ "$(id -u)" = 0 ]; then
        exec setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups -- "$@"
    fi
    exec "$@"
}

# server_user NAME: whom a server runs as when we are root: its package's user, or nobody.
server_user() {
    if id "$1" >/dev/null 2>&1; then echo "$1"; else echo nobody; fi
}

# server_folder NAME USER: creates the folder of a server, readable for nobody else; prints it.
server_folder() {
    local folder
    folder=$(data_folder)/$1
    if [ "$folder" != "$dev/$1" ]; then ln -sfn "$folder" "$dev/$1"; fi
    mkdir -p "$folder"
    chmod 700 "$folder"
    if [ "$(id -u)" = 0 ]; then chown "$2" "$folder"; fi
    printf '%s\n' "$folder"
}

# data_folder: .dev, or a folder outside of a checkout that the servers' users cannot enter
# (below /root, as a rule).
data_folder() {
    if [ "$(id -u)" != 0 ] || (as_user nobody test -x "$dev"); then
        printf '%s\n' "$dev"
        return
    fi
    local folder=/var/tmp/channel-sync-$checkout
    if ! mkdir -m 711 "$folder" 2>/dev/null && { [ -L "$folder" ] || [ ! -O "$folder" ]; }; then
        die "$folder is there and not ours; remove it"
    fi
    printf '%s\n' "$folder"
}

# close_files: all but standard input, output and error.
close_files() {
    local number
    for number in "/proc/$BASHPID/fd"/*; do
        number=${number##*/}
        # 255 is bash's own, and closes by itself.
        if [ "$number" -gt 2 ] && [ "$number" -ne 255 ]; then exec {number}>&-; fi
    done
}

# launch NAME USER FOLDER COMMAND…: starts a server in a session of its own, so that a Ctrl-C in
# the terminal does not reach it, and with nothing of ours: no variable but those that COMMAND sets,
# no open file (a lock of ours, a pipe that somebody waits for the end of).
launch() {
    local name=$1 user=$2 folder=$3 log="$dev/log/$1.log"
    shift 3
    mkdir -p "$dev/log"
    if [ -f "$log" ]; then mv -f "$log" "$log.old"; fi
    (
        cd "$folder" || exit 1
        close_files
        # The usual 1024 are few for a broker that many tests use at the same time.
        if [ "$(ulimit -Sn)" != unlimited ] && [ "$(ulimit -Sn)" -lt 16384 ]; then
            ulimit -Sn 16384 2>/dev/null || true
        fi
        as_user "$user" setsid env -i PATH=/usr/local/bin:/usr/bin:/bin LC_ALL=C.UTF-8 "$@"
    ) </dev/null >"$log" 2>&1 &
    record "$name" "$!"
}

# record NAME PID: from now on, that process is our NAME.
record() {
    printf '%s %s %s\n' "$2" "$(process_stat "$2" 22)" "$checkout" >"$dev/$1.pid"
}

# await NAME SECONDS CHECK…: waits until CHECK succeeds; dies with the end of the log if the server
# ends before or needs longer.
await() {
    local name=$1 limit=$2 begin=$SECONDS said=0 passed
    shift 2
    until "$@"; do
        passed=$((SECONDS - begin))
        if ! is_running "$name"; then log_tail "$name"; die "$name ended while it started"; fi
        if [ "$passed" -ge "$limit" ]; then log_tail "$name"; die "$name does not answer after $limit s"; fi
        if [ $((passed / 5)) -gt "$said" ]; then said=$((passed / 5)); say "  waiting for $name, $passed s"; fi
        sleep 0.2
    done
    say "$name answers after $((SECONDS - begin)) s"
}

# log_of NAME: where to read the log of our process NAME.
log_of() {
    printf '%s\n' "$dev/log/$1.log"
}

log_tail() {
    printf -- '--- the last lines of %s\n' "$dev/log/$1.log" >&2
    tail -n 40 "$dev/log/$1.log" >&2 || true
    printf -- '---\n' >&2
}

# family PID: PID and all processes below it, each as "pid start".
family() {
    local -A parents=()
    local stat pid members=" $1 " grown=yes
    for pid in /proc/[0-9]*; do
        pid=${pid#/proc/}
        if read_stat "$pid"; then parents[$pid]=${stat[1]}; fi
    done
    while [ "$grown" = yes ]; do
        grown=no
        for pid in "${!parents[@]}"; do
            if [[ $members != *" $pid "* && $members == *" ${parents[$pid]} "* ]]; then
                members+="$pid "
                grown=yes
            fi
        done
    done
    for pid in $members; do
        if read_stat "$pid"; then printf '%s %s\n' "$pid" "${stat[19]}"; fi
    done
}

# gone SECONDS PID START: waits until that process has ended; fails if it has not.
gone() {
    local end=$((SECONDS + $1))
    while is_alive "$2" "$3"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.1
    done
}

# stop NAME SIGNAL SECONDS: asks our process NAME to end, waits, kills it if it does not, and then
# makes sure that none of its children is left; fails if one is.
stop() {
    local name=$1 members pid start
    if ! pid=$(running_pid "$name"); then
        rm -f "$dev/$name.pid"
        return 0
    fi
    say "stopping $name (pid $pid)"
    members=$(family "$pid")
    start=$(process_stat "$pid" 22) || true
    kill -"$2" "$pid" 2>/dev/null || true
    if ! gone "$3" "$pid" "$start"; then
        say "$name did not stop within $3 s: killing it"
        kill -KILL "$pid" 2>/dev/null || true
    fi
    while read -r pid start; do
        if gone 5 "$pid" "$start"; then continue; fi
        kill -KILL "$pid" 2>/dev/null || true
        if gone 5 "$pid" "$start"; then continue; fi
        say "process $pid of $name cannot be stopped"
        return 1
    done <<<"$members"
    rm -f "$dev/$name.pid"
}

# works_in PID PROGRAM FOLDER: that process runs PROGRAM, with FOLDER as its directory.
works_in() {
    local name=""
    { read -r name <"/proc/$1/comm"; } 2>/dev/null || return 1
    [ "$name" = "$2" ] && [ "/proc/$1/cwd" -ef "$3" ]
}

# stop_strays NAME PROGRAM FOLDER SIGNAL: stops a server of ours that no pid file names (any more):
# one that works in its FOLDER below .dev. Its children end with it.
stop_strays() {
    local entry pid parent
    for entry in /proc/[0-9]*; do
        pid=${entry#/proc/}
        if ! works_in "$pid" "$2" "$3"; then continue; fi
        if parent=$(process_stat "$pid" 4) && works_in "$parent" "$2" "$3"; then continue; fi
        record "$1" "$pid"
        stop "$1" "$4" 30 || return 1
    done
}

# port_taken PORT: something listens on it.
port_taken() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# port NAME: the port that was chosen for NAME; fails if none was.
port() {
    local number
    number=$(cat "$dev/ports/$1" 2>/dev/null) && [[ $number =~ ^[0-9]+$ ]] || return 1
    printf '%s\n' "$number"
}

# choose_port NAME FIRST: keeps the port of last time, or FIRST, unless it is taken by now.
# All are below 32768, where Linux begins to give ports to outgoing connections.
choose_port() {
    local number
    number=$(port "$1") || number=$2
    while port_taken "$number"; do
        number=$((number + 10))
        [ "$number" -lt 32768 ] || die "no free port for $1 from $2 on"
    done
    mkdir -p "$dev/ports"
    printf '%s\n' "$number" >"$dev/ports/$1"
}
