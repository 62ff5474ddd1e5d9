#!/bin/sh
# Takes what the official image of PostgreSQL takes: on an empty data folder it makes the superuser and a database.
set -eu

fail() {
    echo "postgres (the lab's image): $*" >&2
    exit 1
}

# Sets variable $1 from itself, from the file that ${1}_FILE names, or from the default $2.
from_file() {
    eval "value=\${$1:-} file=\${$1_FILE:-}"
    [ -z "$value" ] || [ -z "$file" ] || fail "$1 and $1_FILE are both set"
    if [ -n "$file" ]; then
        [ -r "$file" ] || fail "$1_FILE: cannot read $file as user $(id -u)"
        value=$(cat "$file")
    fi
    export "$1=${value:-${2:-}}"
    unset "$1_FILE" value file
}

sql() {
    PGHOST='' PGHOSTADDR='' psql -v ON_ERROR_STOP=1 --no-psqlrc --no-password --username "$POSTGRES_USER" "$@"
}

# pg_ctl takes the options of the server as one text for a shell.
quoted() {
    for argument; do
        printf "'%s' " "$(printf %s "$argument" | sed "s/'/'\\\\''/g")"
    done
}

# Takes the options of the server.
first_start() {
    method=${POSTGRES_HOST_AUTH_METHOD:-}
    [ -n "$POSTGRES_PASSWORD" ] || [ "$method" = trust ] ||
        fail "the data folder $PGDATA is empty, and neither POSTGRES_PASSWORD nor POSTGRES_PASSWORD_FILE is set"
    [ -z "${POSTGRES_INITDB_WALDIR:-}" ] || fail "POSTGRES_INITDB_WALDIR: only the official image has it"

    # As in the official image, a shell reads the words of POSTGRES_INITDB_ARGS.
    printf '%s\n' "$POSTGRES_PASSWORD" |
        eval 'initdb --username="$POSTGRES_USER" --pwfile=/dev/stdin' "$POSTGRES_INITDB_ARGS"
    [ -n "$method" ] || method=$(postgres -C password_encryption "$@")
    printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"

    # Local connections may need the password too, if POSTGRES_INITDB_ARGS says so.
    export PGPASSWORD="${PGPASSWORD:-$POSTGRES_PASSWORD}"
    PGUSER=${PGUSER:-$POSTGRES_USER} pg_ctl -w -o "$(quoted "$@" -c listen_addresses= -p "${PGPORT:-5432}")" start
    echo "SELECT format('CREATE DATABASE %I', :'name') WHERE NOT EXISTS
        (SELECT FROM pg_database WHERE datname = :'name') \\gexec" | sql --dbname postgres --set "name=$POSTGRES_DB"
    for file in /docker-entrypoint-initdb.d/*; do
        case "$file" in
            *.sh) if [ -x "$file" ]; then "$file"; else . "$file"; fi ;;
            *.sql) sql --dbname "$POSTGRES_DB" --file "$file" ;;
            *.sql.gz) gunzip -c "$file" | sql --dbname "$POSTGRES_DB" ;;
            *.sql.xz | *.sql.zst) fail "$file: only the official image unpacks it" ;;
        esac
    done
    pg_ctl -w -m fast stop
    unset PGPASSWORD
    echo "postgres (the lab's image): made the data folder $PGDATA"
}

case "${1:-}" in
    -*) set -- postgres "$@" ;;
esac
[ "${1:-}" = postgres ] || exec "$@" # pg_dump, sh, …
for argument; do
    case "$argument" in
        -\? | --help | --describe-config | -V | --version) exec "$@" ;;
    esac
done

# Some of this fails in a container without capabilities. The server complains if it matters.
mkdir -p "$PGDATA" /var/run/postgresql || true
chmod 700 "$PGDATA" 2>/dev/null || true
chmod 3775 /var/run/postgresql 2>/dev/null || true
if [ "$(id -u)" = 0 ]; then
    find "$PGDATA" /var/run/postgresql ! -user postgres -exec chown postgres {} +
    exec su -p -s /bin/sh -c 'exec "$0" "$@"' -- postgres "$0" "$@"
fi

# The official image reads these at each start, too.
from_file POSTGRES_PASSWORD
from_file POSTGRES_USER postgres
from_file POSTGRES_DB "$POSTGRES_USER"
from_file POSTGRES_INITDB_ARGS
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    shift
    first_start "$@"
    set -- postgres "$@"
fi
exec "$@"
