"""Tests PostgreSQL on a host: what an app reaches, drift by name, a rotation, a crash, and TLS.

The server is Debian's own, in an image of the lab (docs/lab-images.md). The app is a container with psql.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.data.test_backup import restore
from tests.e2e.host.watch import wait_for
from tests.e2e.inventory import report

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.stack.program import Program

RULES = "/etc/portcullis/postgres/postgres/pg_hba.conf"
FILE = "/run/secrets/postgres_shop_{}"


@pytest.fixture(scope="module")
def program(make_deployed: Callable[[str], Program]) -> Program:
    made = make_deployed("hello")
    image = made.image("postgres:15")
    made.set("stores.postgres", image=image, memory=256, databases={"shop": {}, "crm": {}})
    made.set(
        "apps.worker",
        image=image,
        user="999:999",
        command=["sh", "-c", "trap exit TERM; sleep infinity & wait"],
        healthCommand=["true"],
        volumes={"unused": "/var/lib/postgresql"},
        tmpfs={"/var/lib/postgresql/data": 1},
        uses=["postgres.shop"],
    )
    made.up()
    return made


def query(program: Program, sql: str, login: str = "", *, container: str = "worker") -> str:
    """Run SQL as the app does, with its connection string or another one. Return the answer or the error.

    In `login`, URL stands for the app's connection string without its password.
    """
    script = 'read -r sql; url=$(cat "$1"); '
    script += 'name=$(cat "$2"); bare="postgresql://$name@${url#*@}"; URL=${3:-$url}; '
    script += 'case $3 in URL*) URL="$bare${3#URL}";; esac; exec psql -XAtw "$URL" -c "$sql" 2>&1'
    files = [FILE.format("url"), FILE.format("user")]
    argv = ["docker", "exec", "-i", container, "sh", "-c", script, "sh", *files, login]
    return str(program.host.run(argv, text=f"{sql}\n", check=False).stdout).strip()


def as_administrator(program: Program, sql: str, database: str = "shop") -> str:
    argv = ["docker", "exec", "-i", "postgres", "psql", "-XAtq", "-U", "postgres", "-d", database]
    return str(program.host.run([*argv, "-f", "-"], text=sql).stdout).strip()


def test_an_app_owns_its_database_and_reaches_nothing_else(program: Program) -> None:
    assert query(program, "SELECT current_user, session_user") == "shop|worker.shop-1"
    assert query(program, "CREATE TABLE orders (id int); CREATE VIEW seen AS SELECT id FROM orders") != ""
    assert query(program, "INSERT INTO orders VALUES (1) RETURNING id").startswith("1")
    assert query(program, "CREATE EXTENSION citext") == "CREATE EXTENSION"
    owned = "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relname IN ('orders', 'seen')"
    assert query(program, owned) == "shop"
    for sql in ("SET ROLE postgres", "CREATE ROLE x", "COPY orders FROM PROGRAM 'id'", "CREATE DATABASE x"):
        told = query(program, sql)
        assert "denied" in told or "must be superuser" in told, sql
    assert "no password supplied" in query(program, "SELECT 1", "URL")
    place = "@postgres:5432"
    for login, refused in {
        f"postgresql://worker.shop-1:wrong{place}/shop": "password authentication failed",
        f"postgresql://shop:x{place}/shop": "password authentication failed",
        f"postgresql://postgres:x{place}/postgres": "pg_hba.conf rejects",
        f"postgresql://worker.shop-1:x{place}/crm": "no pg_hba.conf entry",
        f"postgresql://worker.shop-1:x{place}/postgres": "pg_hba.conf rejects",
    }.items():
        assert refused in query(program, "SELECT 1", login), login
    # The other app uses no store.
    assert (
        "postgres"
        not in program.docker("exec", "hello", "nslookup", "postgres", check=False)
        .lower()
        .split("address")[-1]
    )
    program.preview("--expect-no-changes")


def test_no_password_is_in_docker_records_or_logs(program: Program) -> None:
    password = program.docker("exec", "worker", "cat", FILE.format("password")).strip()
    assert len(password) == 40
    seen = program.docker("inspect", "postgres", "worker") + program.docker("logs", "postgres")
    seen += program.host.run("ps axeww; cat /var/lib/portcullis/items/*/*").stdout
    seen += program.run("stack", "export").output
    assert password not in seen


def test_changes_by_hand_are_lines_and_up_mends_them(program: Program) -> None:
    as_administrator(
        program,
        """
        CREATE ROLE mallory LOGIN SUPERUSER PASSWORD 'x';
        GRANT pg_read_all_data TO "worker.shop-1";
        ALTER ROLE "worker.shop-1" PASSWORD 'by-hand';
        ALTER DATABASE crm OWNER TO mallory;
        """,
    )
    program.host.run(f"sed -i '1i host all all all trust' {RULES}")
    program.docker("exec", "postgres", "psql", "-U", "postgres", "-c", "SELECT pg_reload_conf()")
    wait_for("the open door", lambda: "1" in query(program, "SELECT 1", "URL"))
    told = report.text(program)
    for line in (
        "nobody declared the user mallory: may log in, is a superuser, has a password — up removes it",
        "user worker.shop-1 of postgres: has another password, is also in pg_read_all_data — up mends it",
        "database crm belongs to mallory — up mends it",
        "lets clients in without a login — up mends it",
        f"{RULES}",
    ):
        assert any(line in one for one in told), (line, told)
    program.up()
    assert query(program, "SELECT session_user") == "worker.shop-1"
    assert "no password supplied" in query(program, "SELECT 1", "URL")
    assert as_administrator(program, "SELECT count(*) FROM pg_roles WHERE rolname = 'mallory'") == "0"
    program.preview("--expect-no-changes")


def test_a_rotation_gives_the_app_another_user_and_ends_the_old_sessions(program: Program) -> None:
    old = program.docker("exec", "worker", "cat", FILE.format("url")).strip()
    # A session of the old user that stays open. It runs in the store's container, which stays.
    script = 'read -r url; exec psql -XAt "$url" -c "SELECT pg_sleep(300)"'
    local = old.replace("@postgres:", "@127.0.0.1:")
    program.host.run(
        [
            "docker",
            "exec",
            "-i",
            "-d",
            "postgres",
            "sh",
            "-c",
            script.replace("read -r url", f"url='{local}'"),
        ]
    )
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'worker.shop-1'"
    wait_for("the old session", lambda: as_administrator(program, sessions) == "1")
    program.set("stores.postgres", databases={"shop": {"rotate": "first"}, "crm": {}})
    program.up()
    assert query(program, "SELECT current_user, session_user") == "shop|worker.shop-2"
    assert query(program, "SELECT id FROM seen") == "1"
    assert query(program, "ALTER TABLE orders ADD COLUMN note text") == "ALTER TABLE"
    assert as_administrator(program, sessions) == "0"
    assert "no pg_hba.conf entry" in query(program, "SELECT 1", old)
    program.preview("--expect-no-changes")


def test_a_newer_server_gets_the_data_from_the_backups(program: Program) -> None:
    """Follow docs/stores/postgres.md."""
    query(program, "CREATE TABLE kept AS SELECT generate_series(1, 30) AS id")
    program.docker("stop", "worker")
    program.host.run("portcullis-backup run")
    listed = program.host.run("portcullis-backup list").stdout
    assert "postgres.crm" in listed, listed
    program.host.run("docker rm -f postgres && docker volume rm postgres-data")
    program.set("stores.postgres", image=program.image("postgres:17"))
    program.up()
    assert 'relation "kept" does not exist' in query(program, "SELECT count(*) FROM kept")
    told = restore(program, "--from", "latest", "--yes", "postgres.shop")
    assert "postgres.shop is restored" in told
    version = "SELECT current_setting('server_version_num')::int / 10000"
    assert query(program, version) == "17"
    assert query(program, "SELECT count(*) FROM kept") == "30"
    assert query(program, "SELECT id FROM seen") == "1"
    assert query(program, "SELECT current_user, session_user") == "shop|worker.shop-2"
    assert query(program, "INSERT INTO kept VALUES (31) RETURNING id").startswith("31")
    program.preview("--expect-no-changes")


def test_a_crash_loses_no_acknowledged_write(program: Program) -> None:
    script = """i=0; while [ ! -e /tmp/stop ]; do
        i=$((i+1))
        psql -XAtqw "$(cat "$1")" -c "INSERT INTO orders VALUES ($i + 1000)" && echo $i >>/tmp/done
    done"""
    program.host.run(["docker", "exec", "-d", "worker", "sh", "-c", script, "sh", FILE.format("url")])

    def written() -> list[str]:
        said = program.host.run(["docker", "exec", "worker", "cat", "/tmp/done"], check=False)  # noqa: S108
        return said.stdout.split()

    wait_for("some writes", lambda: len(written()) > 20)
    program.host.run("kill -9 $(docker inspect -f '{{.State.Pid}}' postgres)")
    before = len(written())
    wait_for("more writes", lambda: len(written()) > before + 5)
    program.docker("exec", "worker", "touch", "/tmp/stop")  # noqa: S108
    done = written()
    kept = query(program, "SELECT id - 1000 FROM orders").split()
    assert not {*done} - {*kept}
    program.preview("--expect-no-changes")


def test_with_tls_the_app_checks_the_certificate_and_the_server_wants_it(program: Program) -> None:
    program.set("stores.postgres", tls=True)
    program.up()
    assert "protocol: TLSv1.3" in query(program, r"\conninfo")
    url = program.docker("exec", "worker", "cat", FILE.format("url")).strip()
    assert url.endswith("?sslmode=verify-full&sslrootcert=/run/secrets/postgres_ca.crt")
    assert "no pg_hba.conf entry" in query(program, "SELECT 1", url.partition("?")[0] + "?sslmode=disable")
    assert query(program, "SELECT id FROM seen WHERE id = 1") == "1"
    program.preview("--expect-no-changes")
