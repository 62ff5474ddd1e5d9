"""A person changes the host by hand. A preview shows each changed property and line, and `up` repairs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.stack.program import SITE_FILE

if TYPE_CHECKING:
    from tests.e2e.stack.program import Program

PAGE = "Hello from a container"
# The error of each docker plugin if the engine is stopped.
NO_DOCKER = {
    "5.1.1": "unable to ping Docker server",
    "5.2.0 and the stand-in": "Error pinging Docker server, please make sure that ssh://web1 is reachable",
}

# Commands that change the host, and what the preview has to show: the resource, the property, the line.
EDITS = {
    "edited-site": (
        f"sed -i 's|location / {{|location / {{ return 417;|' {SITE_FILE}; nginx -s reload",
        ["web1-nginx-hello.example.com", "content", "- location / { return 417;", "+ location / {"],
    ),
    "site-mode-and-owner": (
        f"chmod 0666 {SITE_FILE}; chown www-data:adm {SITE_FILE}",
        ['mode : "0666" => "0644"', 'owner : "www-data" => "root"', 'group : "adm" => "root"'],
    ),
    "deleted-site": (
        f"rm {SITE_FILE}; nginx -s reload",
        ["web1-nginx-hello.example.com", "<absent>", "+ server_name hello.example.com;"],
    ),
    "edited-daemon.json": (
        'sed -i \'s/"icc": false/"icc": true/\' /etc/docker/daemon.json; systemctl restart docker',
        ["web1-docker-daemon.json", "~ content: (json) {", "~ icc : true => false"],
    ),
    "nginx-stopped": (
        "systemctl stop nginx",
        ["web1-nginx-service", 'active: "inactive" => "active"'],
    ),
    "nginx-masked": (
        "systemctl disable -q --now nginx; systemctl mask -q nginx",
        ['active : "inactive" => "active"', 'enabled: "masked" => "enabled"'],
    ),
    "nginx-removed": (
        "apt-get -qq -y remove nginx nginx-common >/dev/null",
        ["web1-nginx-packages", '+ nginx: "installed"'],
    ),
    "container-stopped": ("docker stop -t 1 hello", ["hello-container", "mustRun: false => true"]),
    "container-removed": ("docker rm -f hello", ["+ docker:index/container:Container: (create)"]),
    "network-and-image-removed": (
        "docker rm -f hello; docker network rm hello; docker image rm -f $(docker image ls -q)",
        [
            "+ docker:index/network:Network: (create)",
            "+ docker:index/remoteImage:RemoteImage: (create)",
            "+ docker:index/container:Container: (create)",
        ],
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_by_hand_is_shown_and_mended(deployed: Program, edit: str) -> None:
    command, shown = EDITS[edit]
    deployed.host.run(command)

    # Its exit code is what a gate in CI goes by.
    deployed.preview("--expect-no-changes", fails=True).has(*shown)
    deployed.up()

    assert PAGE in deployed.page()


def test_after_all_of_them_nothing_differs(deployed: Program) -> None:
    deployed.preview("--expect-no-changes")


def test_nginx_and_docker_run_on_the_files_that_were_mended(deployed: Program) -> None:
    # Both edits were taken up by the running services; the files alone would not undo that.
    config = deployed.host.run("nginx -T 2>/dev/null").stdout
    assert "return 417" not in config
    assert deployed.docker("network", "inspect", "bridge", "--format", "{{json .Options}}").count(
        '"com.docker.network.bridge.enable_icc":"false"'
    )


def test_a_stopped_docker_is_shown_and_mended_though_its_containers_cannot_be_asked(
    deployed: Program,
) -> None:
    deployed.host.run("systemctl stop docker.socket docker.service")
    said = deployed.preview(fails=True)
    said.has('active: "inactive" => "active"')
    assert [plugin for plugin, words in NO_DOCKER.items() if words in said.output], said.output
    deployed.up()
    assert PAGE in deployed.page()
    deployed.preview("--expect-no-changes")
