"""PostgreSQL, as its administrator sees it from inside the container.

psql runs in the container as the container's user. The server knows this user by the socket, so no password
of an administrator exists. SQL gets to psql in a variable of its environment, so that no list of processes
shows the hash of a password. https://www.postgresql.org/docs/current/view-pg-roles.html explains the columns.
"""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING

from portcullis.agent.errors import AgentError
from portcullis.components.containers.on_host.docker import docker
from portcullis.components.stores.facts import DECLARED, LOADED, REQUIRED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from portcullis.agent.machine import Machine
    from portcullis.agent.step import Json

_TIMEOUT = 60.0
_ADMIN = "postgres"
# The owner of a database may give each of its sessions other settings. These come last and so hold.
_SETTINGS = (
    "-c role=none -c client_encoding=UTF8 -c search_path=pg_catalog -c default_transaction_read_only=off "
    "-c statement_timeout=50s -c lock_timeout=10s -c idle_in_transaction_session_timeout=0 "
    "-c idle_session_timeout=0 -c local_preload_libraries="
)
_SINCE_17 = "-c transaction_timeout=0 -c event_triggers=off"
_PSQL = (
    f"{{ o='{_SETTINGS}'; psql -V | grep -q ' 1[56]' || o=\"$o {_SINCE_17}\"; "
    "PGOPTIONS=$o exec psql -XqAtw -v ON_ERROR_STOP=1 -v VERBOSITY=terse "
    f"-U {_ADMIN} -h /var/run/postgresql -d postgres; }}"
)
_RUN = f'printf %s "$PORTCULLIS_SQL" | {_PSQL}'
# As the owner of each database, which has no password.
_TRY = (
    '; test "$?" = 0 || exit 1; for d; do '
    'LC_ALL=C psql -XqAtw -U "$d" -h 127.0.0.1 -d "$d" -c "SELECT 1" 2>&1 | tr "\\n" " "; echo; done'
)
_SURVEY = """\
SELECT jsonb_build_object(
  'roles', (SELECT json_object_agg(rolname, r) FROM (
    SELECT rolname, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls, rolcanlogin,
      rolinherit, rolconnlimit, rolpassword, NOT coalesce(rolvaliduntil, 'infinity') = 'infinity' AS expires,
      (SELECT json_agg(json_build_array(g.rolname, m.admin_option, coalesce(b.rolname, 'postgres'),
        ARRAY[to_json(m)->>'inherit_option' IS DISTINCT FROM 'false',
          to_json(m)->>'set_option' IS DISTINCT FROM 'false']))
        FROM pg_auth_members m JOIN pg_authid g ON g.oid = m.roleid LEFT JOIN pg_authid b ON b.oid = m.grantor
        WHERE m.member = a.oid) AS memberships,
      (SELECT json_object_agg(datname, setconfig) FROM pg_db_role_setting s
        JOIN pg_database d ON d.oid = s.setdatabase WHERE s.setrole = a.oid) AS settings
    FROM pg_authid a WHERE rolname !~ '^pg_') r),
  'databases', (SELECT json_object_agg(datname, pg_get_userbyid(datdba)) FROM pg_database
    WHERE datallowconn AND datconnlimit <> -2),
  'limits', (SELECT json_object_agg(datname, datconnlimit) FROM pg_database),
  'closed', (SELECT json_agg(datname) FROM pg_database WHERE NOT datallowconn),
  'stale', (SELECT max(least(modification, now())) > date_trunc('second', pg_conf_load_time()) FROM
    unnest(ARRAY['hba_file', 'ident_file']) AS name, pg_stat_file(current_setting(name))));
"""
_RIGHTS = {
    "rolsuper": "is a superuser",
    "rolcreaterole": "may create roles",
    "rolcreatedb": "may create databases",
    "rolreplication": "may replicate",
    "rolbypassrls": "bypasses row security",
    "expires": "has an end date",
}
_NONE = (
    "NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS INHERIT CONNECTION LIMIT -1 "
    "VALID UNTIL 'infinity'"
)
_HEIR = "left_behind"
"""A role without any right. It gets what a removed user owned where no other role can have it."""
_CLOSED = ("no password supplied", "rejects connection", "no pg_hba.conf entry")
"""What psql says if the server lets nobody in without a login."""
GONE = "is gone"
"""What `Server.database` says of a database that does not exist."""


class Down(Exception):
    """The server does not answer. The text says why. `gone` is whether there is no such container."""

    def __init__(self, why: str) -> None:
        super().__init__(f"does not answer: {why}")
        self.gone = "no such container" in why.lower()


class Server:
    """A server, with what its administrator saw of it."""

    def __init__(self, machine: Machine, store: str, databases: Iterable[str] = ()) -> None:
        """Read the server in the container `store`. With `databases`, also try to come in without a login.

        Raises:
            Down: the server does not answer.
            AgentError: ``unreadable``: its answer is no answer of PostgreSQL.
        """
        self._machine, self._store = machine, store
        tried = sorted(databases)
        first, *answers = self._psql(_SURVEY, *tried).splitlines() or [""]
        try:
            found = json.loads(first)
            self._roles: dict[str, Json] = {str(name): dict(role) for name, role in found["roles"].items()}
            self._databases: dict[str, str] = dict(found["databases"])
            self._limits: dict[str, int] = dict(found["limits"])
            self._closed = list(found["closed"] or ())
            self.rules = "not read since their last change" if found["stale"] else LOADED
            self._described = {name: _described(role) for name, role in self._roles.items()}
        except (ValueError, TypeError, KeyError, AttributeError):
            raise AgentError("unreadable", f"psql in the container {store} answers no survey") from None
        is_closed = len(answers) >= len(tried) and all(
            any(word in said for word in _CLOSED) for said in answers
        )
        self.login = REQUIRED if is_closed else "lets clients in without a login"

    def database(self, name: str) -> str:
        """Return `DECLARED`, or how a database and the role that owns it differ."""
        if name in self._closed:
            return "refuses connections"
        if name not in self._databases:
            return GONE
        if self._databases[name] != name:
            return f"belongs to {self._databases[name]}"
        if self._limits[name] != -1:
            return f"accepts {self._limits[name]} connections only"
        differs = self._differs(name, password=None, groups=())
        return f"has an owner that {', '.join(differs)}" if differs else DECLARED

    def account(self, user: str, password: str, database: str) -> str | None:
        """Return `DECLARED`, how a user differs, or None if there is no such user.

        A user that could not be dropped has no rights any more, and does not count.
        """
        if user not in self._roles or not self._differs(user, password=None, groups=()):
            return None
        differs = self._differs(user, password=password, groups=(database,))
        settings = (self._roles[user]["settings"] or {}).get(database) or ()
        if f"role={database}" not in settings:
            differs.append(f"does not act as {database}")
        return ", ".join(differs) or DECLARED

    def knows(self, user: str) -> bool:
        """Return whether there is such a user."""
        return user in self._roles

    def undeclared(self, users: Collection[str]) -> dict[str, str]:
        """Return what each user may do that is not in `users`, by name.

        A role that may not log in and has no rights is left out, such as the owner of a former database.
        """
        return {
            name: text
            for name, text in sorted(self._described.items())
            if name not in (_ADMIN, *users) and self._differs(name, password=None, groups=())
            if not self._restores(name)
        }

    def _restores(self, name: str) -> bool:
        """Return whether this is the role of a restore that runs: the owner's rights, and no password."""
        database, _, what = name.partition(".")
        return what == "restoring" and self._differs(name, password=None, groups=(database,)) == [
            "may log in"
        ]

    def put_database(self, name: str) -> None:
        """Create a database and the role that owns it, or bring both to the declared state."""
        self._disarm(name)
        database = _name(name)
        if name not in (*self._databases, *self._closed):
            self._psql(f"CREATE DATABASE {database} OWNER {database};")
        alter = f"ALTER DATABASE {database}"
        self._psql(
            f"{alter} ALLOW_CONNECTIONS true; {alter} CONNECTION LIMIT -1; {alter} OWNER TO {database};"
        )

    def put_user(self, user: str, password: str, database: str) -> None:
        """Create a user, or bring it to the declared state. End sessions that another password has opened."""
        self._put_role(user, password=password, groups=(database,))
        sql = f"ALTER ROLE {_name(user)} IN DATABASE {_name(database)} SET role = {_text(database)};"
        if user in self._roles and self._roles[user]["rolpassword"] != password:
            sql += _end_sessions(user)
        self._psql(sql)

    def drop(self, user: str) -> bool:
        """Remove a user with its sessions. What it owns passes to the owner of each database.

        Nothing passes to the administrator: functions that an app wrote would run with all rights. The owner
        of a database stays, without a login and without rights. So does a user with too much to pass on, or
        with something that others hold.

        Return whether the user was dropped.
        """
        if user not in self._roles:
            return False
        self._disarm(user)
        if self._databases.get(user) == user:
            return False
        if _HEIR not in self._roles:
            self._disarm(_HEIR)
        role, sql = _name(user), ""
        # Databases themselves pass to the first heir.
        for database, owner in sorted(self._databases.items(), key=lambda one: (one[0] != _ADMIN, one)):
            if re.fullmatch(r"[\w.-]+", database):
                heir = _name(_HEIR if owner in (user, _ADMIN) else owner)
                sql += f'\\connect "{database}"\nREASSIGN OWNED BY {role} TO {heir};\nDROP OWNED BY {role};\n'
        try:
            self._psql(f"{sql}DROP ROLE {role};")
        except (AgentError, Down):
            return False
        return True

    def _disarm(self, name: str) -> None:
        """Create a role that may not log in and has no rights, or take both away, and end its sessions."""
        self._put_role(name, password=None, groups=())
        self._psql(_end_sessions(name))

    def _put_role(self, name: str, *, password: str | None, groups: Sequence[str]) -> None:
        role, known = _name(name), self._roles.get(name)
        sql = "" if known else f"CREATE ROLE {role};\n"
        login = "NOLOGIN PASSWORD NULL" if password is None else f"LOGIN PASSWORD {_text(password)}"
        sql += f"ALTER ROLE {role} {_NONE} {login};\n"
        for group, _, grantor, _ in (known or {}).get("memberships") or ():
            sql += f"REVOKE {_name(group)} FROM {role} GRANTED BY {_name(grantor)} CASCADE;\n"
        sql += "".join(f"GRANT {_name(group)} TO {role};\n" for group in groups)
        self._psql(f"BEGIN;\n{sql}COMMIT;")

    def _differs(self, name: str, *, password: str | None, groups: Sequence[str]) -> list[str]:
        if name not in self._roles:
            return ["does not exist"]
        role = self._roles[name]
        found = [words for right, words in _RIGHTS.items() if role[right]]
        if role["rolcanlogin"] != (password is not None):
            found.append("may log in" if role["rolcanlogin"] else "may not log in")
        if role["rolpassword"] != password:
            have = "no password" if role["rolpassword"] is None else "another password"
            found.append("has a password" if password is None else f"has {have}")
        if not role["rolinherit"]:
            found.append("does not have the rights of its groups")
        if role["rolconnlimit"] != -1:
            found.append(f"may open {role['rolconnlimit']} connections only")
        # Before version 16, every membership has the rights of the group.
        full = [group for group, *_, options in role["memberships"] or () if False not in options]
        for group, admin, *_ in role["memberships"] or ():
            found += [f"may pass on {group}"] if admin else []
            found += [f"is also in {group}"] if group not in groups else []
        return found + [f"is not in {group}" for group in groups if group not in full]

    def _psql(self, sql: str, *tried: str) -> str:
        """Run SQL as the administrator, and return what it prints.

        Args:
            sql: the statements.
            tried: databases. Their owners, which have the same names, must not come in.

        Raises `Down` if the server does not answer, `AgentError` if it refuses a statement.
        """
        script = _RUN + _TRY if tried else _RUN
        argv = ["exec", "--env", "PORTCULLIS_SQL", self._store, "sh", "-c", script, "sh", *tried]
        done = docker(self._machine, *argv, timeout=_TIMEOUT, env={"PORTCULLIS_SQL": sql})
        refused = [line for line in done.err.splitlines() if "ERROR:" in line]
        if refused:
            raise AgentError("invalid", f"PostgreSQL in the container {self._store} refuses: {refused[0]}")
        if done.code:
            raise Down((done.err.strip() or f"exit code {done.code}").splitlines()[0])
        return done.out


def reload(machine: Machine, store: str) -> None:
    """Let the server read the files that say who may log in. It may not even let in the administrator now."""
    # After `docker kill`, with whatever signal, Docker would not restart the container when it ends.
    script = 'kill -HUP "$(head -n 1 "$PGDATA/postmaster.pid")"'
    docker(machine, "exec", store, "sh", "-c", script, timeout=_TIMEOUT)
    time.sleep(1)  # the server reads them soon after the signal, and no answer says when


def _described(role: Json) -> str:
    found = ["may log in" if role["rolcanlogin"] else "may not log in"]
    found += [words for right, words in _RIGHTS.items() if role[right]]
    found += ["has a password"] if role["rolpassword"] else []
    found += [f"is in {group}" for group, *_ in role["memberships"] or ()]
    return ", ".join(found)


def _end_sessions(user: str) -> str:
    # Each end is awaited for 5 s at most.
    which = f"FROM pg_stat_activity WHERE usename = {_text(user)}"
    return f"SELECT pg_terminate_backend(pid, 5000) {which};\n"


def _name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
