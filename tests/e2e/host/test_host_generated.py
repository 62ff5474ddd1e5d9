"""A container gets generated secrets as files. They can be rotated, and are readable only in these files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.host.test_host_secrets import everything_under, spellings
from tests.e2e.host.watch import Sampler
from tests.e2e.project import engine_environment

if TYPE_CHECKING:
    from lab.pytest_lab import Host
    from tests.e2e.project import Outcome, Project

FOLDER = "/etc/portcullis/secrets/web1-redis"
PROGRAM = """
from portcullis.components import SecretFiles
from portcullis.components.secrets.resource import GeneratedSecret
from portcullis.host import Host

password = GeneratedSecret("password", rotate={rotate!r})
files = {{
    "redis_url": pulumi.Output.format(
        "redis://app-{{}}:{{}}@redis:6379/0", password.generation, password.value
    ),
    "before": pulumi.Output.concat("before:", password.previous),
}}
made = SecretFiles("web1-redis", files, owner="999:999", host=Host("web1"))
pulumi.export("generation", password.generation)
pulumi.export("url", files["redis_url"])
pulumi.export("before", password.previous)
"""


def password_on(host: Host) -> tuple[str, str]:
    found = re.fullmatch(
        r"redis://app-(\d+):([A-Za-z0-9]{40})@redis:6379/0", host.read(f"{FOLDER}/redis_url")
    )
    assert found
    return found[1], found[2]


@pytest.mark.once
def test_a_generated_secret_is_made_rotated_and_found_nowhere_in_clear(
    project: Project, module_host: Host
) -> None:
    host = module_host
    outcomes: list[Outcome] = []
    project.program(PROGRAM.format(rotate=None))
    with Sampler(host) as seen:
        outcomes += [project.up("--diff")]
        number, first = password_on(host)
        assert number == "1"
        assert host.read(f"{FOLDER}/before") == "before:"

        project.program(PROGRAM.format(rotate="2026-12"))
        rotating = project.preview().has('+ rotate: "2026-12"', "~ content").lacks("error")
        outcomes += [rotating, project.up("--diff")]
        number, second = password_on(host)
        assert number == "2"
        assert second != first
        assert host.read(f"{FOLDER}/before") == f"before:{first}"

        project.program(PROGRAM.format(rotate=None))
        outcomes += [project.unchanged()]
        assert password_on(host) == ("2", second)
        host.run(f"chmod 0444 {FOLDER}/redis_url; echo by-hand >> {FOLDER}/before")
        outcomes += [project.up("--diff").has('~ mode   : "0444" => "0400"')]
        outcomes += [project.run("stack", "output"), project.run("stack", "export")]

    listing = host.run(f"stat -c '%n %u:%g %a' /etc/portcullis/secrets {FOLDER} {FOLDER}/*").stdout
    assert listing.splitlines() == [
        "/etc/portcullis/secrets 0:0 700",
        f"{FOLDER} 999:999 500",
        f"{FOLDER}/before 999:999 400",
        f"{FOLDER}/redis_url 999:999 400",
    ]
    state = json.loads(outcomes[-1].output)["deployment"]["resources"]
    kept = next(r for r in state if r["type"].endswith(":GeneratedSecret"))
    assert "ciphertext" in json.dumps(kept["outputs"]["value"])
    assert kept["outputs"]["generation"] == 2

    places = {
        "a command line": "\n".join(seen.commands),
        "an environment on the host": "\n".join(seen.environments),
        "what Pulumi prints": "\n".join(outcome.output for outcome in outcomes),
        "the project's folder": everything_under(project.folder),
        "the engine's logs": everything_under(Path(engine_environment()["PULUMI_HOME"]) / "logs"),
        "the host's journal": host.run("journalctl --sync; journalctl -q --no-pager -o export").stdout,
        "records on the host": host.run("grep -ra '' /var/lib/portcullis").stdout,
    }
    assert f"{FOLDER}/redis_url" in places["records on the host"]
    for where, text in places.items():
        for secret in (first, second):
            assert not [spelling for spelling in spellings(secret) if spelling in text], where
    found = host.run(
        f"grep -rlaE '{first}|{second}' /etc /var /run /tmp /root /home /srv", check=False
    ).stdout.split()
    assert sorted(found) == [f"{FOLDER}/before", f"{FOLDER}/redis_url"]

    project.destroy()
    assert not host.run("ls -d /etc/portcullis", check=False).stdout
