"""Backups of PostgreSQL, with a real server and a `docker` that runs commands beside it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from portcullis.components.backups.job import config, postgres, restore
from portcullis.components.backups.job.postgres import Postgres
from portcullis.components.backups.job.programs import Failed
from portcullis.components.backups.job.shelf import Shelf
from tests.components.backups.conftest import QUIET, STORE, dumped

if TYPE_CHECKING:
    from tests.components.backups.conftest import Server

ROOT = Path(__file__).parents[3]
PEOPLE = 100_000
DATA = f"""
CREATE EXTENSION citext;
COMMENT ON EXTENSION citext IS 'mine';
CREATE TABLE people (id bigserial PRIMARY KEY, name citext NOT NULL UNIQUE, note text);
INSERT INTO people (name, note)
SELECT 'p' || n, E'a line\\nand \\\\. another' FROM generate_series(1, {PEOPLE}) n;
COMMENT ON TABLE people IS 'all of them';
CREATE TABLE letters (person bigint REFERENCES people, body bytea);
CREATE TABLE empty ();
CREATE VIEW first_people AS SELECT * FROM people WHERE id < 10;
CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS 'SELECT n * 2';
CREATE SCHEMA "odd ""name"; CREATE TABLE "odd ""name"."x
y FROM stdin;" (a int); INSERT INTO "odd ""name"."x
y FROM stdin;" VALUES (7);
SELECT lo_from_bytea(4242, 'a large object');
"""  # noqa: S608 - a number of ours
SUMMARY = """
SELECT (SELECT count(*) || ' ' || md5(string_agg(name || note, ',' ORDER BY id)) FROM people),
       (SELECT count(*) FROM first_people), twice(21), nextval('people_id_seq'),
       convert_from(lo_get(4242), 'UTF8'), (SELECT sum(a) FROM "odd ""name"."x
y FROM stdin;"), obj_description('people'::regclass),
       (SELECT string_agg(DISTINCT tableowner::text, ',') FROM pg_tables WHERE schemaname = 'public');
"""


def about(server: Server) -> str:
    """Return what belongs to the database itself."""
    return server.sql(
        "SELECT datdba::regrole, encoding, datcollate, datctype, datlocprovider, datconnlimit, datacl,"
        " (SELECT json_agg(json_build_array(setrole::regrole, setconfig) ORDER BY 1) FROM pg_db_role_setting"
        " WHERE setdatabase = d.oid) FROM pg_database d WHERE datname = 'shop'",
        "postgres",
    )


def test_a_restore_brings_everything_back_while_apps_use_the_database(server: Server, tmp_path: Path) -> None:
    server.sql("CREATE SCHEMA ext AUTHORIZATION shop; CREATE EXTENSION pg_stat_statements SCHEMA ext;"
               "CREATE EXTENSION pg_trgm")  # fmt: skip
    server.as_app(DATA)
    path = dumped(tmp_path)
    assert STORE.check(path) == PEOPLE + 2, "a large object counts, too"
    before, belongs = server.as_app(SUMMARY), about(server)
    assert "all of them|shop" in before
    server.as_app("DROP TABLE people CASCADE; CREATE TABLE other AS SELECT 1 AS a")
    ended: list[int] = []
    told: list[str] = []
    stop = threading.Event()

    def app() -> None:
        while not stop.is_set():
            ended.append(server.session("SELECT pg_sleep(0.05)").code)

    def old_session() -> None:
        told.append(server.session("SELECT pg_sleep(50)").err)

    apps = [threading.Thread(target=app) for _ in range(3)] + [threading.Thread(target=old_session)]
    for thread in apps:
        thread.start()
    while server.sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%sleep(50)'") == "0":
        time.sleep(0.1)
    said: list[str] = []
    try:
        STORE.restore(path, "", said.append)
    finally:
        stop.set()
        for thread in apps:
            thread.join()
    assert "terminating connection" in told[0]
    assert said[-1] == "postgres.shop is restored"
    assert server.as_app(SUMMARY) == before
    assert about(server) == belongs
    assert server.names() == QUIET
    assert server.sql("SELECT to_regclass('other') IS NULL") == "t"
    extensions = "citext public shop, pg_stat_statements ext postgres, pg_trgm public postgres"
    assert server.extensions() == extensions
    assert 0 in ended[-3:], "apps connect again"


def test_a_dump_that_is_cut_anywhere_is_refused(server: Server, tmp_path: Path) -> None:
    server.as_app("CREATE TABLE a (n int, t text); CREATE TABLE b (LIKE a); CREATE TABLE z (LIKE a);"
               "INSERT INTO a SELECT n, md5(n::text) FROM generate_series(1, 5000) n;"
               "INSERT INTO b SELECT * FROM a;"
               "SELECT lo_from_bytea(1, 'x')")  # fmt: skip
    path = dumped(tmp_path)
    assert STORE.check(path) == 10_001
    whole = path.read_bytes()
    cuts = {
        0,
        1,
        5,
        *(len(whole) * n // 30 for n in range(1, 30)),
        *(len(whole) - n for n in (1, 2, 3, 5, 9, 20)),
    }
    for cut in sorted(cuts):
        path.write_bytes(whole[:cut])
        with pytest.raises(Failed, match=r"pg_restore cannot read the backup a\.dump to its end"):
            STORE.check(path)
    path.write_bytes(whole[: len(whole) // 2] + b"\0\1\2\3" + whole[len(whole) // 2 + 4 :])
    with pytest.raises(Failed):
        STORE.check(path)


def test_an_empty_database_has_no_rows(server: Server, tmp_path: Path) -> None:
    server.as_app("CREATE TABLE a (n int)")
    path = dumped(tmp_path)
    assert STORE.check(path) == 0
    STORE.restore(path, "", lambda _: None)
    assert server.sql("SELECT count(*) FROM a") == "0"


def test_a_restore_that_fails_changes_nothing(server: Server, tmp_path: Path) -> None:
    server.as_app("CREATE TABLE a AS SELECT n, md5(n::text) FROM generate_series(1, 5000) n")
    path, said = dumped(tmp_path), []
    whole = path.read_bytes()
    before = about(server), server.sql("SELECT oid FROM pg_database WHERE datname = 'shop'")
    path.write_bytes(whole[:-3000])
    with pytest.raises(Failed, match=r"the restore of postgres\.shop failed"):
        STORE.restore(path, "", said.append)
    server.sql("CREATE FUNCTION c() RETURNS int LANGUAGE c AS 'citext', 'citext_eq'")
    with pytest.raises(Failed, match="permission denied for language c"):
        STORE.restore(dumped(tmp_path), "", said.append)
    assert (about(server), server.sql("SELECT oid FROM pg_database WHERE datname = 'shop'")) == before
    assert server.sql("SELECT count(*) FROM a") == "5000"
    assert server.names() == QUIET


@pytest.mark.parametrize("step", ["CREATE", "EXTENSIONS", "SWAP", "CLEAN"])
def test_a_restore_that_was_killed_is_repaired_by_the_next(server: Server, tmp_path: Path, step: str) -> None:
    """The job is killed after a step. The database always has its old data or the new."""
    server.as_app("CREATE TABLE a AS SELECT 1 AS n")
    path = dumped(tmp_path)
    server.as_app("UPDATE a SET n = 2")
    script = f"""
import os, signal, sys
from pathlib import Path
from portcullis.components.backups.job import postgres, postgres_sql, programs
programs._ENVIRONMENT = {server.env!r}
postgres._LIST = {postgres._LIST!r}
real = postgres.run
def run(argv, **more):
    sql = more["stdin"].read().decode() if "sh" in argv and "psql" in argv[-1] else ""
    more["stdin"].seek(0)
    if {step!r} == "CLEAN" and sql == postgres_sql.CLEAN:
        os.kill(os.getpid(), signal.SIGKILL)
    done = real(argv, **more)
    if sql == getattr(postgres_sql, {step!r}):
        os.kill(os.getpid(), signal.SIGKILL)
    return done
postgres.run = postgres.checked.__globals__["run"] = run
postgres.Postgres("postgres.shop", "postgres", "shop").restore(Path({str(path)!r}), "", print)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    swapped = step in ("SWAP", "CLEAN")
    left = "shop.before" if swapped else "shop.restoring"
    assert server.names() == QUIET | {left}
    assert server.as_app("SELECT n FROM a") == ("1" if swapped else "2")
    said: list[str] = []
    STORE.restore(path, "", said.append)
    assert said[0] == f"postgres: removing what an interrupted restore left: {left}"
    assert server.names() == QUIET
    assert server.as_app("SELECT n FROM a") == "1"


def test_the_only_copy_of_the_data_is_never_dropped(server: Server, tmp_path: Path) -> None:
    server.as_app("CREATE TABLE a AS SELECT 1 AS n")
    path = dumped(tmp_path)
    server.sql('ALTER DATABASE shop RENAME TO "shop.before"', "postgres")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(Failed):
        STORE.restore(path, "", lambda _: None)
    assert server.names() == QUIET
    assert server.sql("SELECT n FROM a") == "1"
    server.sql("DROP DATABASE shop", "postgres")
    with pytest.raises(Failed, match="postgres has no database shop; an `up` creates it"):
        STORE.restore(path, "", lambda _: None)


def test_another_restore_in_between_swaps_nothing(server: Server) -> None:
    server.as_app("CREATE TABLE a AS SELECT 1 AS n; ")
    server.sql('CREATE DATABASE "shop.restoring"', "postgres")
    with pytest.raises(Failed, match="another restore has replaced what this one has filled"):
        STORE._swap("1")
    assert server.names() == QUIET | {"shop.restoring"}
    assert server.sql("SELECT n FROM a") == "1"


def test_functions_in_a_dump_never_run_as_the_superuser(server: Server, tmp_path: Path) -> None:
    server.as_app(
        "CREATE FUNCTION rise(n int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN"
        "  BEGIN PERFORM set_config('role', 'postgres', false); EXECUTE 'ALTER ROLE shop SUPERUSER';"
        "  EXCEPTION WHEN OTHERS THEN NULL; END;"
        "  BEGIN EXECUTE 'SET SESSION AUTHORIZATION postgres; ALTER ROLE shop SUPERUSER';"
        "  EXCEPTION WHEN OTHERS THEN NULL; END;"
        "  IF session_user = 'postgres' THEN EXECUTE 'RESET ROLE; ALTER ROLE shop SUPERUSER'; END IF;"
        "  RETURN true; END $$;"
        "CREATE TABLE trap (n int CHECK (rise(n))); INSERT INTO trap VALUES (1);"
        "CREATE FUNCTION equal(name, text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN"
        "  PERFORM rise(1); RETURN true; END $$;"
        "CREATE OPERATOR <> (LEFTARG = name, RIGHTARG = text, FUNCTION = equal);"
        "CREATE OPERATOR !~ (LEFTARG = name, RIGHTARG = text, FUNCTION = equal);"
        "ALTER DATABASE shop SET search_path = public, pg_catalog;"
    )
    STORE.restore(dumped(tmp_path), "", lambda _: None)
    assert server.sql("SELECT count(*) FROM trap") == "1"
    assert server.sql("SELECT rolsuper FROM pg_roles WHERE rolname = 'shop'") == "f"


def test_faults_have_clear_words(server: Server, tmp_path: Path) -> None:
    with (tmp_path / "x").open("wb") as file:
        with pytest.raises(Failed, match="No such container: other"):
            Postgres("p.shop", "other", "shop").dump(file)
        with pytest.raises(Failed, match='database "blog" does not exist'):
            Postgres("p.blog", "postgres", "blog").dump(file)
    path = dumped(tmp_path)
    server.sql("ALTER DATABASE shop OWNER TO postgres; DROP OWNED BY shop; DROP ROLE shop")
    with pytest.raises(Failed, match='role "shop" does not exist'):
        STORE.restore(path, "", lambda _: None)
    path.write_bytes(b"PGDMP\x01\x63" + path.read_bytes()[7:])
    with pytest.raises(Failed, match=r"It is from a newer PostgreSQL: first run the newer image"):
        STORE.check(path)


def test_a_dump_of_a_newer_server_changes_nothing(server: Server, tmp_path: Path) -> None:
    del server
    present = dumped(tmp_path)
    newer = tmp_path / "b.dump"
    ours = STORE._version(present)
    newer.write_bytes(present.read_bytes().replace(b"%d." % ours, b"%d." % (ours + 1)))
    STORE.check_version(present, newer)
    said = (
        rf"is from PostgreSQL {ours + 1}, and postgres\.shop is PostgreSQL {ours}; first run the newer image"
    )
    with pytest.raises(Failed, match=said):
        STORE.check_version(newer, present)


def test_the_whole_job_restores_a_database_by_its_name(server: Server, tmp_path: Path) -> None:
    server.as_app("CREATE TABLE a AS SELECT 1 AS n")
    shelf = Shelf(tmp_path, lambda: time.time() - 100)
    dump = shelf.put(STORE.name, STORE.ending, STORE.dump, STORE.check)
    assert re.fullmatch(r".*/postgres\.shop/[0-9TZ-]+_1\.dump", str(dump.path))
    server.as_app("INSERT INTO a VALUES (2), (3)")
    settings = config.Config(tmp_path, 14, {STORE.name: STORE}, None)
    with pytest.raises(
        Failed, match=r"has a backup of each of its databases; name one of them: postgres\.shop"
    ):
        restore.restore(settings, "postgres", "latest", lambda _: None)
    restore.restore(settings, "postgres.shop", "latest", lambda _: None)
    assert server.sql("SELECT sum(n) FROM a") == "1"
    newest = shelf.dumps(STORE.name)[0]
    assert (newest.items, newest.is_before_restore) == (3, True)
