# shellcheck shell=bash
# The certificates of the private servers: an authority of their own, one for the servers, which are called
# localhost, and one for a client called channel_sync. Sourced by deploy/dev. Good for ten years; deleting
# .dev/tls makes new ones at the next start.
# Needs process.sh.
# shellcheck disable=SC2154 # $dev, from deploy/dev

# tls_issue NAME SUBJECT EXTENSIONS: a key, and a certificate that the authority has signed.
tls_issue() {
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
        -subj "$2" -keyout "$1-key.pem" -out "$1.csr"
    printf '%s\n' "$3" >"$1.ext"
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca-key.pem -CAcreateserial \
        -days 3650 -extfile "$1.ext" -out "$1.pem"
    rm -f "$1.csr" "$1.ext"
}

# tls_certificates: makes them where there are none yet.
tls_certificates() {
    local folder="$dev/tls"
    if [ -f "$folder/ca.pem" ]; then return 0; fi
    command -v openssl >/dev/null || die "openssl is missing, which makes the servers' certificates: install it"
    say "making certificates for the servers in $folder"
    mkdir -p "$dev/log"
    rm -rf "$folder.new"
    mkdir "$folder.new"
    if ! (
        cd "$folder.new" || exit 1
        umask 077
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
            -subj "/CN=channel-sync development" -addext "keyUsage=critical,keyCertSign,cRLSign" \
            -keyout ca-key.pem -out ca.pem
        tls_issue server "/CN=localhost" \
            $'subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE'
        tls_issue client "/CN=channel_sync" \
            $'subjectAltName=DNS:channel_sync\nextendedKeyUsage=clientAuth\nbasicConstraints=CA:FALSE'
    ) >"$dev/log/openssl.log" 2>&1 </dev/null; then
        log_tail openssl
        die "openssl failed"
    fi
    mv "$folder.new" "$folder"
}

# tls_install USER FOLDER: what a server needs of them, readable for its user alone.
tls_install() {
    tls_certificates
    install -m 600 "$dev/tls/server-key.pem" "$2/server-key.pem"
    install -m 644 "$dev/tls/server.pem" "$dev/tls/ca.pem" "$2/"
    if [ "$(id -u)" = 0 ]; then chown "$1" "$2/server-key.pem" "$2/server.pem" "$2/ca.pem"; fi
}
