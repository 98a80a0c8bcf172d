#!/bin/sh
# Writes .env for compose.yaml, with new passwords and an access token. The token itself is printed, and kept nowhere.
set -eu
cd "$(dirname "$0")"
umask 077
# random BYTES: so many, in hexadecimal.
random() {
    od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'
}
if [ -e .env ]; then
    echo "secrets.sh: .env is there already, and stays as it is" >&2
    exit 1
fi
token=$(random 32)
hash=$(printf %s "$token" | sha256sum | cut -d ' ' -f 1)
cat >.env <<END
RABBITMQ_PASSWORD=$(random 24)
POSTGRES_PASSWORD=$(random 24)
ACCESS_TOKENS=operator:operator:$hash
END
echo "The access token for HTTP, role operator (write it down): $token"
