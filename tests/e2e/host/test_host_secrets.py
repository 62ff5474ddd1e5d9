"""A secret is readable only in its own file on the host, and nowhere else."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.e2e.host.watch import Sampler
from tests.e2e.project import engine_environment

if TYPE_CHECKING:
    from lab.pytest_lab import Host
    from tests.e2e.project import Outcome, Project

FIRST, SECOND, BY_HAND = "first-secret-5Tq0/&<é", "second-secret-8Xw2/&<é", "by-hand-secret-3Zr7"
PROGRAM = """
secret = pulumi.Config().require_secret("password")
File("password", host="web1", path="/etc/app/password", mode="0600",
     content=secret.apply(lambda s: s + "\\n"),
     validate=["sh", "-c", "sleep 0.2; test -s {path}"],
     test=["sh", "-c", "sleep 0.2; test -s /etc/app/password"],
     opts=pulumi.ResourceOptions(depends_on=[Directory("app", host="web1", path="/etc/app", mode="0700")]))
File("config", host="web1", path="/etc/app/config", mode="0600", adopt=True,
     content=pulumi.Output.concat("password = ", secret, "\\nport = 1\\n"))
pulumi.export("password", secret)
"""
REFUSING = PROGRAM.replace("sleep 0.2; test -s /etc/app/password", "cat /etc/app/password; exit 1")


def spellings(secret: str) -> list[str]:
    """Return the spellings of a secret: plain, in JSON, in a URL, and in base64 at all three offsets."""
    found = [secret, json.dumps(secret)[1:-1], quote(secret), quote(secret, safe="")]
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + secret.encode()).decode()
        found.append(encoded[4 if offset else 0 : -4])
    return found


def assert_nowhere(where: str, text: str) -> None:
    for secret in (FIRST, SECOND, BY_HAND):
        for spelling in spellings(secret):
            assert spelling not in text, (
                f"{where} has {spelling!r}: …{text[max(0, text.find(spelling) - 200) :][:400]}"
            )


def everything_under(folder: Path) -> str:
    texts = [
        f"{path}\n{path.read_bytes().decode(errors='replace')}"
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    ]
    return "\n".join(texts)


@pytest.mark.once
def test_a_secret_is_found_nowhere_in_clear(project: Project, module_host: Host) -> None:
    host = module_host
    outcomes: list[Outcome] = []
    project.secret("password", FIRST)
    project.program(PROGRAM)
    with Sampler(host) as seen:
        outcomes += [project.preview(), project.up(), project.unchanged()]
        project.secret("password", SECOND)
        outcomes += [project.preview(), project.up("--diff")]
        host.write("/etc/app/password", BY_HAND + "\n")
        host.run("sed -i 's/port/prt/' /etc/app/config")
        outcomes += [project.preview(), project.refresh(), project.up("--diff")]
        host.run("rm /etc/app/config")
        outcomes += [project.preview(), project.up("--diff")]
        project.program(REFUSING)
        project.secret("password", FIRST)
        outcomes += [project.up("--diff", fails=True).has("refuses the new content")]
        outcomes += [project.run("stack", "output"), project.run("stack", "export")]
    assert host.read("/etc/app/password") == SECOND + "\n"
    assert host.read("/etc/app/config").startswith("password = ")

    assert any("/etc/app/password" in command for command in seen.commands), "nothing was sampled"
    assert_nowhere("a command line", "\n".join(seen.commands))
    assert_nowhere("an environment on the host", "\n".join(seen.environments))
    for outcome in outcomes:
        assert_nowhere(f"what {outcome.verb} prints", outcome.output)
    assert_nowhere("the project folder with state and .portcullis", everything_under(project.folder))
    assert_nowhere(
        "the engine's own folder", everything_under(Path(engine_environment()["PULUMI_HOME"]) / "logs")
    )
    assert_nowhere(
        "the host's journal", host.run("journalctl --sync; journalctl -q --no-pager -o export").stdout
    )
    found = host.run(
        "grep -rlaE '(first|second|by-hand)-secret' /etc /var /run /tmp /root /home /srv", check=False
    ).stdout.split()
    assert sorted(found) == ["/etc/app/config", "/etc/app/password"]

    project.program(PROGRAM)
    assert_nowhere("what destroy prints", project.destroy("--diff").output)
