"""Tests which variables and options of the official postgres image the lab's entry point takes."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from lab import catalogue, postgres

if TYPE_CHECKING:
    from pathlib import Path

ENTRYPOINT = postgres.ENTRYPOINTS / "postgres" / "docker-entrypoint.sh"
# Stand-ins for the programs. Each writes down its arguments, one in each line, and what it reads.
PROGRAM = """#!/bin/sh
name=${0##*/}
{ printf '%s\\n' "$name" "$@"; } >>"$MADE"
case "$name $*" in
    initdb*) cat >>"$MADE"; echo 14 >"$PGDATA/PG_VERSION" ;;
    psql*) cat >>"$MADE" ;;
    "postgres -C"*) echo scram-sha-256 ;;
    pg_ctl*start) shift 2; eval "printf 'option %s\\n' $1" >>"$MADE" ;;
    id*) echo 999 ;;
esac
"""


class Image:
    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.made = folder / "made"
        self.password = folder / "password"
        self.password.write_text("hidden-word\n")
        programs = folder / "bin"
        programs.mkdir()
        for name in ("chmod", "id", "initdb", "mkdir", "pg_ctl", "postgres", "psql"):
            (programs / name).write_text(PROGRAM)
            (programs / name).chmod(0o755)
        self.data.mkdir()
        self.env = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "MADE": str(self.made),
            "PGDATA": str(self.data),
        }

    def start(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        self.made.unlink(missing_ok=True)
        return subprocess.run(
            ["sh", str(ENTRYPOINT), *command],
            env={**self.env, **variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def lines(self) -> list[str]:
        return self.made.read_text().splitlines()


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return Image(tmp_path)


def test_the_first_start_makes_the_data_and_the_second_leaves_it_alone(image: Image) -> None:
    first = image.start(
        "-c", "hba_file=/etc/it's a $HOME", POSTGRES_PASSWORD_FILE=str(image.password), POSTGRES_DB="shop"
    )
    assert first.returncode == 0, first.stderr
    assert "hidden-word" not in first.stdout + first.stderr
    lines = image.lines()
    start = lines.index("initdb")
    assert lines[start : start + 4] == ["initdb", "--username=postgres", "--pwfile=/dev/stdin", "hidden-word"]
    assert lines.count("hidden-word") == 1  # the input of initdb, and no argument
    assert "host all all all scram-sha-256" in (image.data / "pg_hba.conf").read_text()
    options = [line.removeprefix("option ") for line in lines if line.startswith("option ")]
    assert options == ["-c", "hba_file=/etc/it's a $HOME", "-c", "listen_addresses=", "-p", "5432"]
    assert "name=shop" in lines
    assert lines[-3:] == ["postgres", "-c", "hba_file=/etc/it's a $HOME"]
    assert image.start("postgres", POSTGRES_PASSWORD_FILE=str(image.password)).returncode == 0
    assert "initdb" not in image.lines()


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({}, "neither POSTGRES_PASSWORD nor POSTGRES_PASSWORD_FILE is set"),
        ({"POSTGRES_PASSWORD": "a", "POSTGRES_PASSWORD_FILE": "/b"}, "are both set"),
        ({"POSTGRES_PASSWORD_FILE": "/none"}, "cannot read /none as user 999"),
        ({"POSTGRES_PASSWORD": "a", "POSTGRES_INITDB_WALDIR": "/b"}, "only the official image has it"),
    ],
)
def test_what_is_missing_or_not_supported_is_said(image: Image, variables: dict[str, str], why: str) -> None:
    answer = image.start("postgres", **variables)
    assert answer.returncode == 1
    assert why in answer.stderr
    assert "initdb" not in image.lines()


def test_the_arguments_of_initdb_are_words_of_a_shell(image: Image) -> None:
    image.start("postgres", POSTGRES_PASSWORD="a", POSTGRES_INITDB_ARGS="--data-checksums --auth='a b'")
    assert {"--data-checksums", "--auth=a b"} < set(image.lines())


def test_a_question_needs_no_password(image: Image) -> None:
    assert image.start("postgres", "--version").returncode == 0
    assert image.lines() == ["postgres", "--version"]
    assert image.start("psql", "--help").returncode == 0
    assert image.lines() == ["psql", "--help"]


def test_both_versions_can_be_asked_for() -> None:
    assert {"postgres:15", "postgres:17"} < set(catalogue.NAMED)
