#!/bin/sh
# Makes what compose.yaml needs and nobody else may know: .env, with the passwords of the servers' own administrators,
# and secrets/, a file each for those of channel-sync. The access token is printed, and kept nowhere.
set -eu
cd "$(dirname "$0")"
umask 077
# random BYTES: so many, in hexadecimal.
random() {
    od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'
}
for made in .env secrets; do
    if [ -e "$made" ]; then
        echo "secrets.sh: $made is there already, and stays as it is" >&2
        exit 1
    fi
done
printf 'RABBITMQ_PASSWORD=%s\nPOSTGRES_PASSWORD=%s\n' "$(random 24)" "$(random 24)" >.env
# The folder keeps others out. The files are read by users of the containers, by other numbers than yours.
mkdir secrets
umask 022
for name in broker-service broker-publisher database-migrator database-worker database-reader; do
    printf '%s\n' "$(random 24)" >"secrets/$name"
done
token=cs_$(random 32)
hash=$(printf %s "$token" | sha256sum | cut -d ' ' -f 1)
printf 'operator:operator:%s\n' "$hash" >secrets/access-tokens
echo "The access token for HTTP, role operator (write it down): $token"
