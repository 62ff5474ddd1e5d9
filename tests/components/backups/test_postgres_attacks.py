"""A hostile app and the backups: what it wrote neither runs as the superuser nor ends restores."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from portcullis.components.backups.job import programs
from portcullis.components.backups.job.programs import Failed
from tests.components.backups.conftest import PASSWORD, QUIET, STORE, Server, dumped

if TYPE_CHECKING:
    from pathlib import Path

# Runs in the database that a restore fills, and nowhere else.
IN_RESTORE = """
CREATE FUNCTION {name}() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN
  IF current_database() ~ 'restoring' THEN {does} END IF; RETURN true; END $$;
CREATE TABLE of_{name} (n int CHECK ({name}())); INSERT INTO of_{name} VALUES (1);
"""
AS_ITSELF = "PERFORM set_config('role', 'none', false); {} PERFORM set_config('role', 'shop', false);"


def restored(server: Server, path: Path) -> list[str]:
    said: list[str] = []
    STORE.restore(path, "", said.append)
    assert said[-1] == "postgres.shop is restored"
    assert server.names() == QUIET
    return said


def in_restore(server: Server, name: str, does: str) -> None:
    server.as_app(IN_RESTORE.format(name=name, does=does))


@pytest.mark.parametrize("what", ["ALTER ROLE shop SUPERUSER", "COPY(SELECT)TO PROGRAM'id>/tmp/pwn'"])
def test_a_name_in_another_encoding_is_no_sql(server: Server, tmp_path: Path, what: str) -> None:
    """The last byte of the first letter is a backslash in SJIS."""
    server.sql("CREATE EXTENSION pg_trgm")
    server.as_app("ALTER DATABASE shop SET client_encoding = 'SJIS'")
    server.as_app(f"SET client_encoding = 'UTF8'; ALTER SCHEMA public RENAME TO \"\u8868u0022;{what};--\"")
    restored(server, dumped(tmp_path))
    assert server.sql("SELECT rolsuper FROM pg_roles WHERE rolname = 'shop'") == "f"
    assert server.real.sh("cat /tmp/pwn").code


def test_the_encoding_of_sessions_changes_no_data(server: Server, tmp_path: Path) -> None:
    server.as_app("CREATE TABLE a AS SELECT U&'1\\00A5 \\203E' AS t")
    server.as_app("ALTER DATABASE shop SET client_encoding = 'SJIS'")
    asked = "SELECT encode(convert_to(t, 'UTF8'), 'hex') FROM a"
    before = server.sql(asked)
    restored(server, dumped(tmp_path))
    assert server.sql(asked) == before


@pytest.mark.parametrize("name", ["a|", "a(", "a.b*", 'a"b', "a b"])
def test_odd_names_of_schemas_lose_nothing(server: Server, tmp_path: Path, name: str) -> None:
    quoted = name.replace('"', '""')
    server.sql("CREATE EXTENSION pg_trgm")
    server.as_app(f'ALTER SCHEMA public RENAME TO "{quoted}"; CREATE TABLE "{quoted}".t AS SELECT 1 AS n;')
    server.as_app("CREATE SCHEMA public; CREATE TABLE public.keep AS SELECT 1 AS n")
    restored(server, dumped(tmp_path))
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname !~ '^(pg_|information)'"
    assert server.sql(tables) == "2"


def test_extensions_of_the_app_and_of_the_administrator(server: Server, tmp_path: Path) -> None:
    server.as_app("CREATE SCHEMA ext; CREATE EXTENSION cube SCHEMA ext")
    server.as_app("CREATE TABLE t AS SELECT ext.cube(1) AS c")
    server.sql(
        'CREATE EXTENSION earthdistance SCHEMA ext; CREATE EXTENSION "uuid-ossp"; CREATE EXTENSION btree_gin'
    )
    before = server.extensions()
    restored(server, dumped(tmp_path))
    assert server.extensions() == before
    assert server.sql("SELECT c FROM t") == "(1)"


def test_a_view_with_rows_of_a_table_with_row_security(server: Server, tmp_path: Path) -> None:
    server.as_app(
        "CREATE TABLE t (tenant int, v int); INSERT INTO t VALUES (1, 2), (2, 3);"
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY;"
        "CREATE POLICY p ON t USING (tenant = 1); CREATE MATERIALIZED VIEW m AS SELECT * FROM t;"
    )
    restored(server, dumped(tmp_path))
    assert (server.as_app("SELECT * FROM m"), server.sql("SELECT count(*) FROM t")) == ("1|2", "2")


def test_what_only_the_superuser_may_create_is_told_and_left_out(server: Server, tmp_path: Path) -> None:
    server.as_app("CREATE TABLE t AS SELECT 1 AS n; CREATE PUBLICATION mine FOR TABLE t")
    server.sql("CREATE PUBLICATION everything FOR ALL TABLES; COMMENT ON PUBLICATION everything IS 'x'")
    said = restored(server, dumped(tmp_path))
    assert "left out, because only the superuser may create it: 'PUBLICATION - everything'" in said
    assert server.sql("SELECT string_agg(pubname, ' ') FROM pg_publication") == "mine"


def test_an_extension_that_is_missing_is_said(server: Server, tmp_path: Path) -> None:
    server.sql("CREATE EXTENSION pg_stat_statements")
    path = dumped(tmp_path)
    server.sql("DROP EXTENSION pg_stat_statements")
    with pytest.raises(
        Failed, match=r"First run CREATE EXTENSION …; in the database shop as its administrator"
    ):
        STORE.restore(path, "", lambda _: None)
    server.sql("CREATE EXTENSION pg_stat_statements")
    restored(server, path)


def test_rights_of_the_restoring_role_end_no_restore(server: Server, tmp_path: Path) -> None:
    does = """EXECUTE 'GRANT TEMPORARY ON DATABASE shop TO "shop.restoring"'; """
    does += AS_ITSELF.format("EXECUTE 'CREATE TABLE public.own_' || (random() * 1e9)::int || ' ()'; ")
    in_restore(server, "grants", does)
    in_restore(server, "z_fails", "RAISE EXCEPTION 'no';")
    path = dumped(tmp_path)
    with pytest.raises(Failed, match="no"):
        STORE.restore(path, "", lambda _: None)
    assert server.names() == QUIET
    server.as_app("DROP TABLE of_z_fails")
    server.as_app('CREATE TABLE t (); GRANT SELECT ON t TO "shop.restoring"')
    restored(server, dumped(tmp_path))
    assert server.sql("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'") == "shop"


def test_a_password_that_a_dump_sets_lets_nobody_in(server: Server, tmp_path: Path) -> None:
    does = """EXECUTE 'ALTER ROLE "shop.restoring" PASSWORD ''x'' '; """
    in_restore(server, "a_login", AS_ITSELF.format(does))
    in_restore(server, "b_wait", "PERFORM pg_sleep(3);")
    path, said, done = dumped(tmp_path), set(), threading.Event()

    def log_in() -> None:
        while not done.is_set():
            for database in ("shop", "shop.restoring"):
                said.add(server.real.log_in("shop.restoring", "x", database, "SELECT 'inside'"))
                said.add(server.real.log_in("api.shop-1", PASSWORD, "shop.restoring", "SELECT 'inside'"))
            time.sleep(0.05)

    tries = threading.Thread(target=log_in)
    tries.start()
    try:
        restored(server, path)
    finally:
        done.set()
        tries.join()
    assert said
    assert all("pg_hba.conf rejects" in each for each in said), said
    assert server.sql("SELECT rolpassword IS NULL FROM pg_authid WHERE rolname = 'shop.restoring'") == "t"


def test_a_dump_that_waits_for_an_app_is_ended(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pg_dump's own limit does not count here, and a killed `docker exec` leaves pg_dump in the container."""
    server.as_app("CREATE TABLE b (n int); CREATE TABLE c (n int); CREATE VIEW v AS SELECT * FROM b")
    sql = "BEGIN; ALTER VIEW v ALTER COLUMN n SET DEFAULT 1; SELECT pg_sleep(60)"
    holds = threading.Thread(target=server.session, args=(sql,))
    holds.start()
    asked = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%sleep(60)%' AND usename LIKE 'api%'"
    while server.sql(asked, "postgres") == "0":
        time.sleep(0.1)
    monkeypatch.setattr(programs.share, "ends", time.monotonic() + 4)
    try:
        with pytest.raises(Failed, match=r"did not end within|longer than this store's share"):
            dumped(tmp_path)
        left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'portcullis-backup'"
        assert server.sql(left, "postgres") == "0"
        server.as_app("SET lock_timeout = '3s'; ALTER TABLE c ADD d int")
    finally:
        server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename LIKE 'api%'")
        holds.join(20)


def test_the_first_error_is_said_before_a_long_text(server: Server, tmp_path: Path) -> None:
    body = "\n".join(f"-- line {n}" for n in range(30))
    server.sql(f"CREATE FUNCTION long() RETURNS int LANGUAGE sql LEAKPROOF AS $x$ {body}\n SELECT 1 $x$")
    with pytest.raises(Failed, match="only superuser can define a leakproof function"):
        STORE.restore(dumped(tmp_path), "", lambda _: None)


def test_large_objects_count(server: Server, tmp_path: Path) -> None:
    server.as_app("SELECT lo_from_bytea(1, 'x'), lo_from_bytea(2, 'y')")
    assert STORE.check(dumped(tmp_path)) == 2
