#!/bin/sh
# Takes what the official image of MariaDB takes: on an empty data folder it makes root, a database and a user.
set -eu

note() {
    echo "mariadb (the lab's image): $*"
}

fail() {
    note "$*" >&2
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

# Sets MARIADB_$1 and MYSQL_$1 to the same value. The first counts if both are there.
both_names() {
    from_file "MYSQL_$1" "${2:-}"
    eval "from_file MARIADB_$1 \"\$MYSQL_$1\""
    eval "export MYSQL_$1=\"\$MARIADB_$1\""
}

is_set() {
    eval "[ -n \"\${MARIADB_$1:-\${MYSQL_${2:-$1}:-}}\" ]"
}

# Writes a value as a string of SQL.
string() {
    printf "'%s'" "$(printf %s "$1" | sed -e 's/\\/\\\\/g' -e "s/'/\\\\'/g" | awk 'NR > 1 {printf "\\n"} {printf "%s", $0}')"
}

# Runs SQL as root, with the password $1.
sql() (
    export MYSQL_PWD="$1"
    shift
    exec mariadb --protocol=socket --user=root --host=localhost --socket="$SOCKET" --binary-mode \
        --skip-ssl --skip-ssl-verify-server-cert "$@"
)

# Starts a server that listens on its socket only.
start() {
    case "$VERSION" in
        10.*) ;; # it refuses empty names, and is without TLS until it gets a certificate
        *) set -- "$@" --skip-ssl --ssl-cert= --ssl-key= --ssl-ca= ;;
    esac
    "$@" --skip-networking --default-time-zone=SYSTEM --socket="$SOCKET" --loose-wsrep_on=OFF --expire-logs-days=0 \
        --skip-slave-start --loose-innodb_buffer_pool_load_at_startup=0 &
    SERVER=$!
    for _ in $(seq 300); do
        if echo 'SELECT 1' | sql '' --database=mysql >/dev/null 2>&1; then
            return
        fi
        sleep 0.1
    done
    fail "the server for the first start does not start"
}

stop() {
    kill "$SERVER"
    wait "$SERVER"
}

make_files() {
    for argument; do
        shift
        case "$argument" in
            *[[:space:]]*) note "mariadb-install-db does not get the argument '$argument', which has a space" ;;
            *) set -- "$@" "$argument" ;;
        esac
    done
    shift # mariadbd
    mariadb-install-db --datadir="$DATADIR" --rpm --auth-root-authentication-method=normal "$@" \
        --cross-bootstrap --skip-test-db --old-mode=UTF8_IS_UTF8MB3 --default-time-zone=SYSTEM \
        --enforce-storage-engine= --skip-log-bin --expire-logs-days=0 \
        --loose-innodb_buffer_pool_load_at_startup=0 --loose-innodb_buffer_pool_dump_at_shutdown=0
}

# Writes SQL for the users of the health check, who may only connect, and a file with their password.
healthcheck() {
    word=$(tr -dc A-Za-z0-9 </dev/urandom | head -c 32)
    for host in 127.0.0.1 ::1 localhost; do
        echo "CREATE USER IF NOT EXISTS healthcheck@'$host' IDENTIFIED BY '$word';"
        echo "SET PASSWORD FOR healthcheck@'$host' = PASSWORD('$word');"
        echo "GRANT ${MARIADB_HEALTHCHECK_GRANTS:-USAGE} ON *.* TO healthcheck@'$host';"
    done
    (
        umask 077
        printf '[mariadb-client]\nport=%s\nsocket=%s\nuser=healthcheck\npassword=%s\n' "$PORT" "$SOCKET" "$word" \
            >"$DATADIR/.my-healthcheck.cnf"
    )
}

# Writes SQL that makes user $1 with the password $2 or its hash $3.
user() {
    password="BY $(string "$2")"
    [ -z "$3" ] || password="BY PASSWORD $(string "$3")"
    echo "CREATE USER $1 IDENTIFIED $password;"
}

users() {
    echo "SET SESSION SQL_LOG_BIN = 0, SQL_MODE = REPLACE(@@SQL_MODE, 'NO_BACKSLASH_ESCAPES', '');"
    echo "DROP USER IF EXISTS root@'127.0.0.1', root@'::1';"
    echo "EXECUTE IMMEDIATE CONCAT('DROP USER IF EXISTS root@\'', @@hostname, '\'');"
    [ -n "$MARIADB_ROOT_PASSWORD_HASH" ] ||
        echo "SET PASSWORD FOR root@localhost = PASSWORD($(string "$MARIADB_ROOT_PASSWORD"));"
    case "$MARIADB_ROOT_HOST" in
        '' | localhost) ;;
        *)
            root="root@'$MARIADB_ROOT_HOST'"
            user "$root" "$MARIADB_ROOT_PASSWORD" "$MARIADB_ROOT_PASSWORD_HASH"
            echo "GRANT ALL ON *.* TO $root WITH GRANT OPTION; GRANT PROXY ON ''@'%' TO $root WITH GRANT OPTION;"
            ;;
    esac
    if [ -n "${MARIADB_MYSQL_LOCALHOST_USER:-}" ]; then
        echo "CREATE USER mysql@localhost IDENTIFIED VIA unix_socket;"
        echo "GRANT ${MARIADB_MYSQL_LOCALHOST_GRANTS:-USAGE} ON *.* TO mysql@localhost;"
    fi
    healthcheck
    [ -z "$MARIADB_DATABASE" ] || echo "CREATE DATABASE IF NOT EXISTS \`$MARIADB_DATABASE\`;"
    if [ -n "$MARIADB_USER" ] && [ -n "$MARIADB_PASSWORD$MARIADB_PASSWORD_HASH" ]; then
        app="'$MARIADB_USER'@'$MARIADB_USER_HOST'"
        user "$app" "$MARIADB_PASSWORD" "$MARIADB_PASSWORD_HASH"
        [ -z "$MARIADB_DATABASE" ] ||
            echo "GRANT ALL ON \`$(printf %s "$MARIADB_DATABASE" | sed 's/_/\\_/g')\`.* TO $app;"
    fi
}

first_start() {
    is_set ROOT_PASSWORD || is_set ROOT_PASSWORD_HASH || is_set ALLOW_EMPTY_ROOT_PASSWORD ALLOW_EMPTY_PASSWORD ||
        is_set RANDOM_ROOT_PASSWORD ||
        fail "the data folder $DATADIR is empty, and none of MARIADB_ROOT_PASSWORD, MARIADB_ROOT_PASSWORD_HASH," \
            "MARIADB_ALLOW_EMPTY_ROOT_PASSWORD and MARIADB_RANDOM_ROOT_PASSWORD is set, nor one of them with _FILE"
    [ -z "${MARIADB_REPLICATION_USER:-}${MARIADB_MASTER_HOST:-}" ] ||
        fail "MARIADB_REPLICATION_USER, MARIADB_MASTER_HOST: only the official image has them"
    make_files "$@"
    start "$@"
    is_set INITDB_SKIP_TZINFO ||
        mariadb-tzinfo-to-sql --skip-write-binlog /usr/share/zoneinfo | sql '' --database=mysql
    if is_set RANDOM_ROOT_PASSWORD; then
        MARIADB_ROOT_PASSWORD=$(tr -dc A-Za-z0-9 </dev/urandom | head -c 32)
        export MARIADB_ROOT_PASSWORD MYSQL_ROOT_PASSWORD="$MARIADB_ROOT_PASSWORD"
        note "GENERATED ROOT PASSWORD: $MARIADB_ROOT_PASSWORD"
    fi
    users | sql '' --database=mysql
    for file in /docker-entrypoint-initdb.d/*; do
        case "$file" in
            *.sh) if [ -x "$file" ]; then "$file"; else . "$file"; fi ;;
            *.sql) sql "$MARIADB_ROOT_PASSWORD" --database="$MARIADB_DATABASE" <"$file" ;;
            *.sql.gz) gunzip -c "$file" | sql "$MARIADB_ROOT_PASSWORD" --database="$MARIADB_DATABASE" ;;
            *.xz | *.zst | *.tar.gz) fail "$file: only the official image unpacks it" ;;
        esac
    done
    if [ -n "$MARIADB_ROOT_PASSWORD_HASH" ]; then
        echo "SET PASSWORD FOR root@localhost = $(string "$MARIADB_ROOT_PASSWORD_HASH");" | sql ''
    fi
    stop
    note "made the data folder $DATADIR"
}

# Says whether the data are of an older version of the server.
is_old() {
    for name in mariadb_upgrade_info mysql_upgrade_info; do
        [ ! -f "$DATADIR/$name" ] || break
    done
    before=$(sed 's/^\([0-9]*\.[0-9]*\)\..*/\1/' "$DATADIR/$name" 2>/dev/null) || return 0
    [ "$before" != "$VERSION" ] && [ "$(printf '%s\n' "$before" "$VERSION" | sort -V | head -n 1)" = "$before" ]
}

upgrade() {
    case "${MARIADB_AUTO_UPGRADE:-0}" in
        0) note "the data are of an older version, and MARIADB_AUTO_UPGRADE is not set" && return ;;
    esac
    start "$@" --skip-grant-tables --loose-innodb_buffer_pool_dump_at_shutdown=0
    [ "${MARIADB_DISABLE_UPGRADE_BACKUP:-}" = 1 ] ||
        mariadb-dump --skip-lock-tables --replace --databases mysql --socket="$SOCKET" | gzip \
            >"$DATADIR/system_mysql_backup.sql.gz"
    if [ ! -f "$DATADIR/.my-healthcheck.cnf" ]; then
        { echo "FLUSH PRIVILEGES;" && healthcheck; } | sql ''
        stop
        is_old || return 0
        start "$@" --skip-grant-tables --loose-innodb_buffer_pool_dump_at_shutdown=0
    fi
    mariadb-upgrade --upgrade-system-tables
    stop
    note "upgraded the data folder $DATADIR"
}

case "${1:-}" in
    -*) set -- mariadbd "$@" ;;
esac
[ "${1:-}" = mariadbd ] || exec "$@" # mariadb-dump, sh, …
for argument; do
    case "$argument" in
        -\? | --help | --print-defaults | -V | --version) exec "$@" ;;
    esac
done

settings=$("$@" --verbose --help 2>/dev/null) ||
    fail "the server refuses its options: $("$@" --verbose --help 2>&1 >/dev/null)"
setting() {
    printf '%s\n' "$settings" | awk -v name="$1" '$1 == name && /^[^ ]/ {sub(/^[^ ]+ +/, ""); print; exit}'
}
VERSION=$(mariadbd --version | sed 's/.* Ver \([0-9]*\.[0-9]*\)\..*/\1/')
DATADIR=$(setting datadir) SOCKET=$(setting socket) PORT=$(setting port)

both_names ROOT_HOST %
for name in DATABASE USER PASSWORD ROOT_PASSWORD; do
    both_names "$name"
done
from_file MARIADB_PASSWORD_HASH
from_file MARIADB_ROOT_PASSWORD_HASH
from_file MARIADB_USER_HOST %

mkdir -p "$DATADIR"
if [ "$(id -u)" = 0 ]; then
    find "$DATADIR" "${SOCKET%/*}" ! -user mysql -exec chown mysql:mysql {} +
    exec su -p -s /bin/sh -c 'exec "$0" "$@"' -- mysql "$0" "$@"
fi
if [ ! -d "$DATADIR/mysql" ]; then
    first_start "$@"
elif is_old || [ ! -f "$DATADIR/.my-healthcheck.cnf" ]; then
    upgrade "$@"
fi
# The official image keeps these from the server, too.
for name in ROOT_PASSWORD ROOT_PASSWORD_HASH PASSWORD PASSWORD_HASH ROOT_HOST; do
    unset "MARIADB_$name" "MYSQL_$name"
done
exec "$@"
