#!/bin/sh
# Takes what the official image of MongoDB takes, and runs FerretDB. Anything that FerretDB cannot do is refused
# here, so that a setting which only the official image honours is never silently without effect in the lab.
set -eu

fail() {
    echo "mongod (the lab's stand-in): $*" >&2
    exit 2
}

case "${1:-}" in
    mongod) shift ;;
    -*) ;;
    *) exec "$@" ;; # mongodump, sh, …
esac

data=/data/db port=27017 auth='' tls='' pem='' ca='' without_certificates=''
while [ $# -gt 0 ]; do
    name=${1%%=*} value=''
    case "$1" in
        --auth | --bind_ip_all | --noauth | --nounixsocket | --quiet | --version | --tlsAllowConnectionsWithoutCertificates | --ipv6)
            shift
            ;;
        --*=*) value=${1#*=} && shift ;;
        --*)
            [ $# -gt 1 ] || fail "option $1 needs a value, or is not known"
            value=$2 && shift 2
            ;;
        *) fail "unknown argument $1" ;;
    esac
    case "$name" in
        --auth) auth=yes ;;
        --version) exec ferretdb --version ;;
        --dbpath) data=$value ;;
        --port) port=$value ;;
        --tlsMode) tls=$value ;;
        --tlsCertificateKeyFile) pem=$value ;;
        --tlsCAFile) ca=$value ;;
        --tlsAllowConnectionsWithoutCertificates) without_certificates=yes ;;
        # Without a meaning for SQLite, or what FerretDB does anyhow.
        --bind_ip | --bind_ip_all | --nounixsocket | --quiet | --ipv6 | --wiredTigerCacheSizeGB | --setParameter | --slowms | --profile | --tlsDisabledProtocols | --maxConns | --networkMessageCompressors) ;;
        --replSet | --keyFile) fail "$name: FerretDB is no replica set; only the official image has change streams and transactions" ;;
        *) fail "$name is an option that the stand-in does not know" ;;
    esac
done

# As the entry point of the official image has it: the two variables make it authenticate, whatever the options.
username=${MONGO_INITDB_ROOT_USERNAME:-} password_file=${MONGO_INITDB_ROOT_PASSWORD_FILE:-}
[ -z "${MONGO_INITDB_ROOT_PASSWORD:-}" ] || fail "MONGO_INITDB_ROOT_PASSWORD is refused: a password belongs in a file"
if [ -n "$username" ] || [ -n "$password_file" ]; then
    [ -n "$username" ] && [ -n "$password_file" ] ||
        fail "MONGO_INITDB_ROOT_USERNAME and MONGO_INITDB_ROOT_PASSWORD_FILE are needed together"
    [ -r "$password_file" ] || fail "cannot read $password_file as user $(id -u)"
    auth=yes
fi

[ -d "$data" ] && touch "$data/.writable" 2>/dev/null || fail "cannot write to $data as user $(id -u)"
rm "$data/.writable"

# No endpoint for metrics, no state beside the data, nothing reported to anyone.
export FERRETDB_HANDLER=sqlite FERRETDB_SQLITE_URL="file:$data/" FERRETDB_STATE_DIR=- FERRETDB_DEBUG_ADDR=- \
    FERRETDB_TELEMETRY=disable FERRETDB_LOG_LEVEL=warn FERRETDB_LISTEN_ADDR= FERRETDB_LISTEN_TLS=
[ -z "$auth" ] || export FERRETDB_TEST_ENABLE_NEW_AUTH=true

# The official entry point looks for the same files. They are there from the first start on, and the user is
# made after them: a first start that was interrupted leaves a server that nobody can log in to, as there.
if [ ! -e "$data/WiredTiger" ] && [ ! -e "$data/storage.bson" ]; then
    touch "$data/WiredTiger" "$data/storage.bson"
    if [ -n "$username" ]; then
        socket=/tmp/first-start.sock
        # The password is in the environment of this one process, which ends before the server starts.
        FERRETDB_SETUP_DATABASE=admin FERRETDB_SETUP_USERNAME=$username \
            FERRETDB_SETUP_PASSWORD=$(cat "$password_file") ferretdb --listen-unix="$socket" &
        first=$!
        waited=0
        until [ -S "$socket" ]; do
            kill -0 "$first" 2>/dev/null || fail "the first start ended before the root user was made"
            waited=$((waited + 1))
            [ "$waited" -lt 300 ] || fail "the root user was not made within 30 s"
            sleep 0.1
        done
        kill "$first"
        wait "$first" || true
        rm -f "$socket"
        echo "mongod (the lab's stand-in): created the root user $username"
    fi
fi
unset MONGO_INITDB_ROOT_USERNAME MONGO_INITDB_ROOT_PASSWORD_FILE username password_file

case "${tls:-disabled}" in
    disabled) export FERRETDB_LISTEN_ADDR=":$port" ;;
    requireTLS | preferTLS | allowTLS)
        [ "$tls" = requireTLS ] || fail "--tlsMode $tls: FerretDB does TLS or none on a port; use requireTLS"
        [ -n "$pem" ] || fail "--tlsMode $tls needs --tlsCertificateKeyFile"
        # One PEM file with both, as mongod wants it; FerretDB takes from it what it needs.
        export FERRETDB_LISTEN_TLS=":$port" FERRETDB_LISTEN_TLS_CERT_FILE="$pem" FERRETDB_LISTEN_TLS_KEY_FILE="$pem"
        [ -z "$ca" ] || [ -n "$without_certificates" ] || export FERRETDB_LISTEN_TLS_CA_FILE="$ca"
        ;;
    *) fail "--tlsMode $tls is not a mode" ;;
esac
exec ferretdb
