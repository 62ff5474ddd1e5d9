"""Tests an app that reads its secrets from variables, with a file of the project and folders in memory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.e2e.host.test_host_secrets import everything_under, spellings
from tests.e2e.inventory import report

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.stack.program import Program

KEY = "sk_live_planted-in-a-variable"
VARIABLES = {
    "CACHE_URL": "redis",
    "CACHE_USER": "redis.user",
    "CACHE_PASSWORD": "redis.password",
    "KEY": "key",
}
PAGE = "conf/page.html"


@pytest.fixture(scope="module")
def program(make_deployed: Callable[[str], Program]) -> Program:
    made = make_deployed("hello")
    made.set("stores.redis", image=made.image("redis:7"), memory=64)
    made.encrypt("secrets.key", KEY)
    page = made.folder / PAGE
    page.parent.mkdir()
    page.write_text("the first page\n")
    made.set(
        "apps.hello",
        uses=["redis"],
        env={"PLAIN": "shown-1"},
        secretEnv=VARIABLES,
        projectFiles={PAGE: "/www/page.html"},
        # The folder of the secrets is below it.
        tmpfs={"/run": 1},
    )
    made.up()
    return made


def variables(program: Program) -> dict[str, str]:
    """Return the environment of the app's process."""
    lines = program.docker("exec", "hello", "cat", "/proc/1/environ").split("\0")
    return dict(line.split("=", 1) for line in lines if line)


def test_the_variables_are_logins_that_work(program: Program) -> None:
    found = variables(program)
    assert (found["PLAIN"], found["KEY"], found["CACHE_USER"]) == ("shown-1", KEY, "hello-1")
    assert found["CACHE_URL"] == f"redis://hello-1:{found['CACHE_PASSWORD']}@redis:6379/0"
    ping = 'read -r url; exec redis-cli -u "$url" ping'
    said = program.host.run(
        ["docker", "exec", "-i", "redis", "sh", "-c", ping], text=found["CACHE_URL"] + "\n"
    )
    assert "PONG" in said.stdout
    assert program.docker("exec", "hello", "cat", "/run/secrets/redis_user") == "hello-1"


def test_files_of_the_project_and_folders_in_memory_are_there(program: Program) -> None:
    assert program.page("/page.html") == "the first page\n"
    program.docker("exec", "hello", "sh", "-c", "echo 1 >/run/hello.pid")
    refused = program.docker("exec", "hello", "sh", "-c", "(echo 1 >/www/page.html) 2>&1; true")
    assert "Read-only file system" in refused
    program.preview("--expect-no-changes")


def test_no_secret_is_in_the_state_or_a_preview_and_a_plain_variable_is(program: Program) -> None:
    found = variables(program)
    program.set("apps.hello", env={"PLAIN": "shown-2"})
    said = {
        "state": everything_under(program.folder / "state"),
        "report": "\n".join(report.text(program)),
        "preview": program.preview().output,
        "diff": program.run("preview", "--diff").output,
        "export": program.run("stack", "export").output,
        "what others see on the host": program.host.run("ps auxww; ls -lR /etc/portcullis").stdout,
    }
    for where, text in said.items():
        for secret in (found["CACHE_PASSWORD"], KEY):
            assert not [spelling for spelling in spellings(secret) if spelling in text], where
    assert "environment differs in PLAIN" in said["report"], said["report"]


def test_a_rotation_and_a_changed_file_replace_the_app(program: Program) -> None:
    before = variables(program)
    program.set("stores.redis", rotate="2026-12")
    (program.folder / PAGE).write_text("the second page\n")
    program.up()
    after = variables(program)
    assert (after["PLAIN"], after["CACHE_USER"]) == ("shown-2", "hello-2")
    assert after["CACHE_PASSWORD"] != before["CACHE_PASSWORD"]
    assert re.search(f"//hello-2:{after['CACHE_PASSWORD']}@", after["CACHE_URL"])
    assert program.page("/page.html") == "the second page\n"
    program.preview("--expect-no-changes")
