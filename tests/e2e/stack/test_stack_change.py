"""A preview shows a change of the settings, and `up` applies it. Nothing else changes.

The last test stops Docker. This host has no store, so only the Docker plugin fails.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.e2e.host.watch import Sampler
from tests.e2e.project import CHECKOUT, STACK

if TYPE_CHECKING:
    from tests.e2e.stack.program import Program

HELLO = "hello.example.com"
OTHER = "other.example.com"
# The error of each docker plugin if the engine is stopped.
NO_DOCKER = {
    "5.1.1": "unable to ping Docker server",
    "5.2.0 and the stand-in": "Error pinging Docker server, please make sure that ssh://web1 is reachable",
}


def test_a_changed_host_port_reaches_container_and_nginx(deployed: Program) -> None:
    deployed.set("apps.hello", hostPort=8090)
    deployed.preview().has("external: 8080 => 8090", "- server 172.17.0.1:8080;", "+ server 172.17.0.1:8090;")
    assert "Hello" in deployed.page(), "the preview must not change the host"
    deployed.up()
    assert "Hello" in deployed.page()
    assert deployed.docker("port", "hello").split() == ["8080/tcp", "->", "172.17.0.1:8090"]
    deployed.preview("--expect-no-changes")


def test_a_changed_health_path_is_really_in_use(deployed: Program) -> None:
    deployed.set("apps.hello", health="/index.html")
    deployed.preview().has(
        "http://127.0.0.1:8080/index.html", "+-docker:index/container:Container: (replace)"
    )
    deployed.up()
    assert "http://127.0.0.1:8080/index.html" in json.dumps(deployed.inspect()["Config"]["Healthcheck"])
    deployed.preview("--expect-no-changes")


def test_a_new_image_is_taken_by_its_digest(deployed: Program) -> None:
    image = deployed.image("hello:2")
    deployed.set("apps.hello", image=image)
    deployed.preview().has(image)
    deployed.up()
    assert "version 2" in deployed.page()
    deployed.preview("--expect-no-changes")


def test_an_app_goes_back_to_its_image_before_and_forth_again(deployed: Program) -> None:
    argv = [
        sys.executable,
        "-m",
        "portcullis",
        "rollback",
        "--stack",
        STACK,
        "hello",
        "--yes",
        "--skip-preview",
    ]

    def image() -> str:
        return str(deployed.config()["config"]["portcullis:apps"]["hello"]["image"])

    first = image()
    for page in ("version 1", "version 2"):
        had = image()
        done = subprocess.run(
            argv, cwd=deployed.folder, env=deployed.env, capture_output=True, text=True, check=False,
            timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"hello: {had}\n  -> {image()}\n" in done.stdout
        assert page in deployed.page()
    assert image() == first


def test_a_site_comes_and_goes_without_disturbing_the_other(deployed: Program) -> None:
    before = deployed.inspect()["Id"], deployed.host.run("systemctl show -P MainPID nginx").stdout
    deployed.set("apps.other", image=deployed.image("hello:1"), port=8080, hostPort=8091, health="/healthz")
    deployed.set("sites", **{OTHER: {"app": "other", "tls": "none"}})
    deployed.preview().has("+ 6 to create", "~ 4 to update").lacks(f"web1-nginx-{HELLO}", "to replace")
    deployed.up()
    assert "version 1" in deployed.page(site=OTHER)
    assert "version 2" in deployed.page()

    deployed.set("sites", **{OTHER: None})
    deployed.set("apps", other=None)
    deployed.preview().has("- 6 to delete").lacks("to replace")
    deployed.up()
    assert "curl: (52)" in deployed.page(site=OTHER)
    assert "version 2" in deployed.page()
    assert deployed.docker("ps", "-aq").count("\n") == 1
    assert (deployed.inspect()["Id"], deployed.host.run("systemctl show -P MainPID nginx").stdout) == before
    deployed.preview("--expect-no-changes")


@pytest.mark.once
def test_an_encrypted_setting_shows_nowhere_but_where_the_docs_say(deployed: Program) -> None:
    secret = "planted-7Kq-secret"
    deployed.encrypt("apps.hello.env.API_TOKEN", secret)
    assert secret not in deployed.settings.read_text()
    host = deployed.host
    with Sampler(host) as seen:
        said = [deployed.preview(), deployed.up("--diff"), deployed.preview(), deployed.refresh()]
    assert not [command for command in seen.commands if secret in command], "in a command line"
    assert not [outcome.output for outcome in said if secret in outcome.output], "printed"
    said[0].has("[secret]")

    state = b"".join(path.read_bytes() for path in deployed.folder.rglob("*") if path.is_file())
    assert b"hello-container" in state
    assert secret.encode() not in state, "in state or another file of the project"
    # Docker keeps its own files in /var/lib/docker, and they hold every container's environment; so does one
    # of root's in /tmp while a health check begins.
    places = "/etc /var/log /var/lib/portcullis /run /tmp /root"
    found = host.run(f"grep -rlF {secret} {places}", check=False).stdout.splitlines()
    dockers = ("/run/containerd/", "/run/docker/", "/tmp/runc-process")  # noqa: S108 - on the host
    files = [path for path in found if not path.startswith(dockers)]
    assert not files
    assert secret not in host.run("journalctl --sync; journalctl --no-pager").stdout

    # docs/configuration.md: an environment variable can be read by whoever may use Docker.
    assert f"API_TOKEN={secret}" in deployed.inspect()["Config"]["Env"]
    page = " ".join((CHECKOUT / "docs" / "configuration.md").read_text().split())
    assert "anybody who may use Docker on the host can still read them with `docker inspect`" in page

    deployed.set("apps.hello", env=None)
    deployed.up()


def test_a_stopped_docker_is_shown_and_mended_though_its_containers_cannot_be_asked(
    deployed: Program,
) -> None:
    before = deployed.page()
    deployed.host.run("systemctl stop docker.socket docker.service")
    said = deployed.preview(fails=True)
    said.has('active: "inactive" => "active"')
    assert [plugin for plugin, words in NO_DOCKER.items() if words in said.output], said.output
    deployed.up()
    assert deployed.page() == before
    deployed.preview("--expect-no-changes")
