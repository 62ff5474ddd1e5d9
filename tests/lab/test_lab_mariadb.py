"""Tests the lab's image of MariaDB, with its server: it takes what the official image takes."""

from __future__ import annotations

import gzip
import subprocess
from hashlib import sha1
from typing import TYPE_CHECKING

import pytest

from lab import catalogue, mariadb
from tests.mariadb import Mariadb

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

PASSWORD = "it's a \\ $HOME `word`"
VERSIONS = [*mariadb.SYSTEMS]


@pytest.fixture(params=VERSIONS)
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Mariadb]:
    made = Mariadb(tmp_path, request.param, {})
    yield made
    made.stop()


def hashed(password: str) -> str:
    """Return the hash of the plugin mysql_native_password."""
    return "*" + sha1(sha1(password.encode()).digest()).hexdigest().upper()  # noqa: S324 - MariaDB's own


def test_the_first_start_makes_root_a_database_and_a_user(server: Mariadb) -> None:
    (server.root / "tmp").mkdir(exist_ok=True)
    (server.root / "tmp/root").write_text(f"{PASSWORD}\n")
    server.variables = {
        "MARIADB_ROOT_PASSWORD_FILE": "/tmp/root",  # noqa: S108 - in the server's own file system
        "MYSQL_DATABASE": "my_shop",
        "MARIADB_USER": "api",
        "MARIADB_PASSWORD": "an-app's-word",
        "MARIADB_MYSQL_LOCALHOST_USER": "1",
    }
    server.start()
    assert "made the data folder /var/lib/mysql/" in server.log
    assert server.sql("SELECT current_user()", password=PASSWORD) == "root@localhost"
    assert server.sql("SELECT current_user()", password=PASSWORD, host="127.0.0.1") == "root@%"
    assert "Access denied for user 'root'@'localhost'" in server.sql("SELECT 1", password="another")
    grants = server.sql("SHOW GRANTS", user="api", password="an-app's-word", host="127.0.0.1")
    assert [line.split(" TO ")[0] for line in grants.splitlines()] == [
        "GRANT USAGE ON *.*",
        r"GRANT ALL PRIVILEGES ON `my\\_shop`.*",
    ]
    assert server.sql("SELECT current_user()", user="mysql", password="") == "mysql@localhost"
    word = (server.root / "var/lib/mysql/.my-healthcheck.cnf").read_text().split("password=")[1].strip()
    assert server.sql("SHOW DATABASES", user="healthcheck", password=word) == "information_schema"

    server.stop()
    assert server.process is None
    server.start()
    assert server.log.count("made the data folder") == 1
    assert server.sql("SELECT 1", password=PASSWORD) == "1"
    for word in (PASSWORD, "an-app's-word"):
        assert word not in server.log
        assert word not in server.variables_of_process()


def test_hashes_and_files_of_sql(server: Mariadb) -> None:
    files = server.root / "docker-entrypoint-initdb.d"
    (files / "1.sql").write_text("CREATE TABLE made (word VARCHAR(9));")
    (files / "2.sql.gz").write_bytes(gzip.compress(b"INSERT INTO made VALUES ('zipped');"))
    (files / "3.sh").write_text(
        "echo \"INSERT INTO made VALUES ('$1')\" | sql '' --database=\"$MARIADB_DATABASE\""
    )
    server.variables = {
        "MARIADB_ROOT_PASSWORD_HASH": hashed(PASSWORD),
        "MARIADB_DATABASE": "shop",
        "MARIADB_USER": "api",
        "MARIADB_PASSWORD_HASH": hashed("app"),
    }
    server.start()
    rows = "SELECT word FROM shop.made ORDER BY word"
    assert server.sql(rows, password=PASSWORD) == "mariadbd\nzipped"
    assert server.sql(rows, user="api", password="app", host="127.0.0.1") == "mariadbd\nzipped"


def test_a_random_password_is_said_once(server: Mariadb) -> None:
    server.variables = {"MARIADB_RANDOM_ROOT_PASSWORD": "1", "MARIADB_INITDB_SKIP_TZINFO": "1"}
    server.start()
    _before, password = server.log.split("GENERATED ROOT PASSWORD: ")
    assert server.sql("SELECT count(*) FROM mysql.time_zone", password=password.split()[0]) == "0"


def test_data_of_an_older_version_are_upgraded_if_the_variable_says_so(tmp_path: Path) -> None:
    old = Mariadb(tmp_path, "10.11", {"MARIADB_ROOT_PASSWORD": PASSWORD, "MARIADB_DATABASE": "shop"})
    old.start()
    old.sql("CREATE TABLE shop.made AS SELECT 7 AS number", password=PASSWORD)
    old.stop()
    new = Mariadb(tmp_path, "11.8", {})
    data = new.root / "var/lib/mysql"
    data.rmdir()
    (old.root / "var/lib/mysql").rename(data)
    try:
        new.start()
        assert "MARIADB_AUTO_UPGRADE is not set" in new.log
        assert (data / "mysql_upgrade_info").read_text().startswith("10.11.")
        new.stop()
        new.variables = {"MARIADB_AUTO_UPGRADE": "1"}
        new.start()
        assert "upgraded the data folder" in new.log
        assert b"CREATE TABLE `global_priv`" in gzip.decompress(
            (data / "system_mysql_backup.sql.gz").read_bytes()
        )
        assert (data / "mariadb_upgrade_info").read_text().startswith("11.8.")
        assert new.sql("SELECT number FROM shop.made", password=PASSWORD) == "7"
        new.stop()
        new.start()
        assert new.log.count("upgraded the data folder") == 1
    finally:
        new.stop()


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({}, "none of MARIADB_ROOT_PASSWORD, MARIADB_ROOT_PASSWORD_HASH,"),
        ({"MARIADB_ROOT_PASSWORD": "a", "MARIADB_ROOT_PASSWORD_FILE": "/b"}, "are both set"),
        ({"MYSQL_PASSWORD_FILE": "/none"}, "MYSQL_PASSWORD_FILE: cannot read /none as user 999"),
        ({"MARIADB_ROOT_PASSWORD": "a", "MARIADB_MASTER_HOST": "b"}, "only the official image has them"),
    ],
)
def test_what_is_missing_or_not_supported_is_said(
    tmp_path: Path, variables: Mapping[str, str], why: str
) -> None:
    server = Mariadb(tmp_path, VERSIONS[0], {})
    answer = server.sh("docker-entrypoint.sh mariadbd", env=variables)
    assert (answer.code, answer.out) == (1, "")
    assert why in answer.err
    assert not [*(server.root / "var/lib/mysql").iterdir()]


def test_questions_need_no_password_and_root_becomes_mysql(tmp_path: Path) -> None:
    server = Mariadb(tmp_path, VERSIONS[0], {})
    assert "Ver 10.11." in server.sh("docker-entrypoint.sh mariadbd --version").out
    assert "Ver 15.1" in server.sh("docker-entrypoint.sh mariadb --version").out
    wrong = server.sh("docker-entrypoint.sh --no-such-option")
    assert wrong.code == 1
    assert "unknown option '--no-such-option'" in wrong.err
    stray = server.root / "var/lib/mysql/stray"
    stray.touch()
    script = ["docker-entrypoint.sh", "mariadbd"]
    as_root = subprocess.run(["chroot", server.root, *script], capture_output=True, text=True, check=False)
    assert "is set, nor one of them with _FILE" in as_root.stderr
    assert stray.stat().st_uid == 999


def test_both_versions_can_be_asked_for() -> None:
    assert {"mariadb:10.11", "mariadb:11.8"} < set(catalogue.NAMED)
