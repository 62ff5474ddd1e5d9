"""An image by tag from a registry with a login.

The container of the image runs, and the login is found nowhere on the host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab import images, registry
from tests.e2e.secrets import canaries, places, planted
from tests.e2e.secrets.canaries import Canary
from tests.e2e.secrets.recorders import Recorders
from tests.e2e.secrets.search import Search, allowances

if TYPE_CHECKING:
    from pathlib import Path

    from lab.pytest_lab import Host, Lab
    from tests.e2e.project import Outcome, Project

PROGRAM = """
import sys
from portcullis.components import (
    DockerEngine,
    DockerEngineArgs,
    PrivateContainer,
    PrivateContainerArgs,
    RegistryArgs,
)
from portcullis.host import Host
from portcullis.registry import resolve
from portcullis.config.faults import SettingsError
from pulumi.runtime.config import CONFIG

registry = {registry!r}
login = RegistryArgs(username={username!r}, password=CONFIG.get()[pulumi.get_project() + ":password"])
try:
    tags = {{"apps.app.image": registry + "/moving:1"}}
    found = resolve(tags, {{registry: login}}, ca_file={authority!r})
except SettingsError as error:
    pulumi.log.error(str(error))
    sys.exit(32)
engine = DockerEngine("docker", DockerEngineArgs(), host=Host("web1", os="debian-13"))
health = ("/bin/busybox", "true")
args = PrivateContainerArgs(image=found["apps.app.image"], health_command=health, memory=32)
PrivateContainer("app", args, engine=engine, login=login)
"""


def moving(content: str) -> images.Image:
    """Return an image with this content. All images of this function have the same tag."""
    return images.Image("moving", ("sleep", "600"), tag="1", files={"etc/version": content.encode()})


@pytest.mark.once
def test_an_image_behind_a_login_runs_and_the_login_is_found_nowhere(
    project: Project, module_host: Host, lab: Lab, tmp_path: Path
) -> None:
    host = module_host
    since = tmp_path / "since"
    since.touch()
    outcomes: list[Outcome] = []
    first = lab.push(moving("one"))
    there = f"{lab.private_registry()}/moving"
    facts = {"registry": registry.PRIVATE, "username": registry.USERNAME}
    wrong = canaries.made("registry wrong")
    project.program(PROGRAM.format(**facts, authority=str(lab.authority.bundle)))
    with Recorders(host, tmp_path / "recorded") as recorded:
        project.secret("password", wrong.text)
        outcomes.append(project.preview(fails=True).has(f"check portcullis:registries.{registry.PRIVATE}"))
        project.secret("password", registry.PASSWORD)
        outcomes.append(project.up("--diff"))
        assert version(host) == "one"
        assert host.run("docker image ls --digests --no-trunc").stdout.count(first.digest) == 1

        second = lab.push(moving("two"))
        shown = [f"{there}:1@{first.digest}", f"{there}:1@{second.digest}"]
        outcomes += [project.up("--diff").has(*shown), project.preview("--expect-no-changes")]
        assert version(host) == "two"

        host.run(f"docker rm -f $(docker ps -aq) && docker image rm {there}@{second.digest}")
        outcomes.append(project.up("--diff").has('~ pulled: "<absent>" => "pulled"'))
        assert version(host) == "two"

    # Docker takes the login as one header, in base64: the search knows that spelling.
    search = Search([wrong, Canary("registry", registry.PASSWORD)])
    for outcome in outcomes:
        search.text("output", f"pulumi {outcome.verb}", outcome.output)
    search.tree("deployer file", project.folder)
    places.of_host(search, host, since)
    recorded.search(search)
    left = search.not_allowed(allowances())
    assert not left, "\n".join(map(str, left))
    assert all(search.looked[place] for place in ("host file", "journal", "docker", "command line", "packet"))


def test_a_secret_in_any_kind_of_place_is_found_by_the_search_of_the_secrets_drill(
    module_host: Host, tmp_path: Path
) -> None:
    (image, *_) = module_host.run("docker ps --format '{{.Image}}'").stdout.split()
    search, plants = planted.plant_and_look(module_host, image, tmp_path)
    found = {(find.canary, find.place, find.where) for find in search.finds}
    missed = [
        kind
        for kind, (place, where) in plants.items()
        if not any(one[:2] == (kind, place) and one[2].startswith(where) for one in found)
    ]
    assert not missed, search.summary([])


def version(host: Host) -> str:
    # `docker exec` can return nothing on a busy machine, so read the file through /proc.
    return host.run("cat /proc/$(docker inspect -f '{{.State.Pid}}' app)/root/etc/version").stdout
