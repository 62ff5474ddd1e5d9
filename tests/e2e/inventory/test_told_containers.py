"""The report tells of each container that is not ours, whatever its name, and of what a failed `up` left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.host.watch import wait_for
from tests.e2e.inventory import report
from tests.e2e.stack.program import PAGE, SITE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.stack.program import Program

STILL = "the release before, still serving — goes with the next release"
LEFT = "left by an `up` that failed — goes with the next `up`"
# Names that a release or a job of an app might have.
NAMES = ("hello", "hello-01", "hello-0", "hello-9", "hello-before-99-1", "hello-after-7-1")
BESIDE = """\
    from portcullis.components import PrivateContainer, PrivateContainerArgs

    given = PrivateContainerArgs(image={image!r}, port=8080, host_port=9099, health="/healthz")
    PrivateContainer("extra", given, engine=hosts["web1"].engine)
"""


@pytest.fixture(scope="module")
def rolled(deployed: Program) -> Program:
    """Deploy an app whose releases have numbers."""
    deployed.set("apps.hello", hostPort=None)
    deployed.up()
    report.walk(deployed)
    report.quiet(deployed, "after the first release")
    return deployed


@pytest.fixture
def beside(rolled: Program) -> Iterator[Program]:
    """Let the program declare a container beside its host."""
    main = rolled.folder / "__main__.py"
    before = main.read_text()
    place = "    export_tunnels("
    main.write_text(before.replace(place, BESIDE.format(image=rolled.image("hello:1")) + place))
    assert main.read_text() != before
    yield rolled
    main.write_text(before)


def run(program: Program, name: str) -> None:
    """Start a container that can take over the host."""
    words = f"docker run -d --privileged --pid=host -v /:/hostfs --name {name} {program.image('hello:1')}"
    program.host.run(f"{words} /bin/busybox sleep 99999")


def present(program: Program) -> str:
    """Return the name of the app's newest container."""
    names = program.docker("ps", "--format", "{{.Names}}").split()
    return max((name for name in names if name.startswith("hello-")), key=lambda name: int(name[6:]))


def up_that_fails(program: Program) -> None:
    assert report.read(program, "--yes", verb="up").returncode == 1


def up_without_a_word(program: Program) -> None:
    """Deploy. No line may tell of anything that nobody declared, and a preview finds nothing afterwards."""
    said = report.text(program, "--yes", verb="up")
    assert not [line for line in said if "undeclared" in line or "stays" in line or "yourself" in line], said
    assert PAGE in program.page()
    report.quiet(program)


def paste(program: Program) -> list[str]:
    """Paste the command of every line, and check that the site answers. Return the lines."""
    told, follows = report.both(program)
    for line in (*told, *follows):
        if line.command:
            program.host.run(line.command, check=False)
        assert PAGE in program.page(), line.text
        assert len(line.text) < 300, line.text
    return [line.text for line in told]


def test_no_name_of_ours_hides_a_container(rolled: Program) -> None:
    rolled.set("apps.hello", env={"A": "2"})
    rolled.up()  # the present release has the number 2, so hello-1 is a name of an earlier one
    names = (*NAMES, "hello-1")
    try:
        for name in names:
            run(rolled, name)
        told = {line.subject: line.text for line in report.lines(rolled)}
        assert set(told) == {f"container {name}" for name in names}
        for name in names:
            what = "privileged, sees the host's processes, mounts / at /hostfs, "
            assert told[f"container {name}"].startswith(f"container {name}: {what}")
            assert told[f"container {name}"].endswith(f"stays; remove it yourself: docker rm -f {name}")
    finally:
        rolled.docker("rm", "-f", *names)
    report.quiet(rolled)


def test_the_release_that_serves_after_a_failed_up_is_told_as_that(rolled: Program) -> None:
    serving = present(rolled)
    rolled.site(SITE, snippet="no_such_directive on;")
    rolled.set("apps.hello", image=rolled.image("hello:2"))
    up_that_fails(rolled)
    failed = present(rolled)
    assert failed != serving
    assert f"container {serving}: {STILL}" in paste(rolled)

    rolled.set("apps.hello", env={"A": "3"})
    up_that_fails(rolled)
    assert present(rolled) not in (failed, serving)
    said = paste(rolled)
    assert {f"container {serving}: {STILL}", f"container {failed}: {LEFT}"} <= set(said), said

    rolled.site(SITE, snippet=None)
    up_without_a_word(rolled)
    assert len(rolled.docker("ps", "-aq").split()) == 1


def test_sshd_stops_in_the_middle_of_a_release(rolled: Program) -> None:
    serving = present(rolled)
    rolled.set("apps.hello", env={"A": "4"})
    process = rolled.start("up", "--yes", "--skip-preview")
    wait_for("the next release", lambda: present(rolled) != serving)
    rolled.host.run("systemctl stop ssh.socket ssh.service; pkill -KILL -f '^sshd'", check=False)
    try:
        outcome = rolled.finish(process, "up", 0, 600)
        assert outcome.code, outcome.output
    finally:
        rolled.host.run("systemctl start ssh")
    said = paste(rolled)
    # Without the session, `up` may not have recorded the new container yet. Then only Pulumi knows of both.
    before = f"{serving}: container of the release before — goes with the next release"
    assert {f"container {serving}: {STILL}", before} & set(said), said
    up_without_a_word(rolled)


def test_a_stopped_app_is_one_line_with_one_remedy(rolled: Program) -> None:
    rolled.docker("stop", "-t", "1", present(rolled))
    title, *lines = report.text(rolled)
    assert title.startswith("web1: 1 change made by hand, 0 changes in your code"), (title, lines)
    (line,) = [line for line in lines if "—" in line]
    assert line == "   ! hello: the container of its release is exited 143 — up makes a new release"
    up_without_a_word(rolled)


def test_a_container_beside_the_settings_is_declared(beside: Program) -> None:
    up_without_a_word(beside)
    beside.docker("rm", "-f", "extra")
    run(beside, "extra")
    told = [line.text for line in report.lines(beside) if line.subject == "container extra"]
    assert told, "a container of that name that somebody made again by hand"
    beside.docker("rm", "-f", "extra")
    up_without_a_word(beside)


def test_up_says_nothing_of_a_container_that_it_removes(rolled: Program) -> None:
    assert "extra" in rolled.docker("ps", "--format", "{{.Names}}")
    up_without_a_word(rolled)
    rolled.set("apps.other", image=rolled.image("hello:1"), port=8080, hostPort=8091, health="/healthz")
    up_without_a_word(rolled)
    rolled.set("apps", other=None)
    rolled.up().lacks("undeclared")
    report.quiet(rolled)
    assert len(rolled.docker("ps", "-aq").split()) == 1
    assert rolled.docker("network", "ls", "--filter", "label=portcullis.stack", "-q").count("\n") == 1
