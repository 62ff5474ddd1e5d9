from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, get_args

import pytest

from portcullis.components.containers.render import http_check
from portcullis.components.docker import repository, versions
from portcullis.components.docker.args import PoolArgs
from portcullis.components.docker.networks import beside, collisions
from portcullis.components.docker.render import daemon_json, validation
from portcullis.components.fail2ban import jail_options
from portcullis.components.fail2ban import render as fail2ban
from portcullis.components.fail2ban.args import Fail2banArgs
from portcullis.components.kernel import render as sysctl
from portcullis.components.previews import render as preview
from portcullis.components.ssh.render import sshd
from portcullis.config.forms import Os
from portcullis.dialect import DIALECTS

if TYPE_CHECKING:
    from tests.golden.conftest import Golden


@pytest.mark.parametrize("os", DIALECTS)
def test_daemon_json(os: str, golden: Golden) -> None:
    golden(f"daemon.{os}.json", daemon_json(DIALECTS[os], "172.17.0.1/16"))


def test_daemon_json_with_docker0_elsewhere(golden: Golden) -> None:
    text = daemon_json(DIALECTS["debian-13"], "10.200.0.1/24")
    golden("daemon.docker0-elsewhere.json", text)
    assert "172." not in text


def test_daemon_json_with_pools_of_its_own(golden: Golden) -> None:
    pools = [PoolArgs(base="10.10.0.0/16"), PoolArgs(base="10.11.0.0/16", size=28)]
    golden("daemon.pools.json", daemon_json(DIALECTS["debian-13"], "172.17.0.1/16", pools))


@pytest.mark.parametrize("source", ["docker", "present"])
def test_daemon_json_of_an_engine_that_is_not_the_systems(source: versions.Source, golden: Golden) -> None:
    dialect = versions.dialect("debian-12", source)
    golden(f"daemon.{source}.json", daemon_json(dialect, "172.17.0.1/16"))
    assert validation(dialect) == ["dockerd", "--validate", "--config-file", "{path}"]


@pytest.mark.parametrize("os", DIALECTS)
def test_dockers_repository(os: str, golden: Golden) -> None:
    text = repository.sources("web1-docker-sources", os)
    if os == "debian-13":
        golden("docker.sources", text)
    system, _, version = os.partition("-")
    suite = {"13": "trixie", "12": "bookworm", "24.04": "noble", "22.04": "jammy"}[version]
    assert f"URIs: https://download.docker.com/linux/{system}\nSuites: {suite}\n" in text


def test_dockers_preferences(golden: Golden) -> None:
    golden(
        "docker.preferences",
        repository.preferences("web1-docker-preferences", versions.DOCKERS, versions.DOCKERS_PACKAGES),
    )


def test_dockers_key_has_its_fingerprint() -> None:
    armoured = repository.KEY.split("\n\n")[1].partition("\n=")[0]
    packet = base64.b64decode(armoured)
    # RFC 9580, 4.2.2: a packet in the old format with a public key (tag 6), and a length of two bytes.
    # 5.5.4.1: the input of a fingerprint of version 4. Signatures bind the later packets to this key.
    assert packet[0] == 0x80 | 6 << 2 | 1
    length = int.from_bytes(packet[1:3], "big")
    body = b"\x99" + packet[1:3] + packet[3 : 3 + length]
    assert hashlib.sha1(body, usedforsecurity=False).hexdigest().upper() == repository.FINGERPRINT


@pytest.mark.parametrize(
    ("bip", "pool"),
    [
        ("172.17.0.1/16", "172.18.0.0/16"),
        ("10.200.0.1/24", "10.201.0.0/16"),
        ("10.255.0.1/16", "10.0.0.0/16"),
        ("172.31.5.1/24", "172.16.0.0/16"),
        ("10.0.0.1/9", "10.128.0.0/9"),
        ("192.168.5.1/24", "192.168.128.0/17"),
        ("192.168.200.1/24", "192.168.0.0/17"),
    ],
)
def test_networks_of_containers_are_beside_docker0(bip: str, pool: str) -> None:
    assert beside(bip) == pool
    assert not list(collisions(bip, [pool]))


def test_a_dialect_stands_for_every_supported_system() -> None:
    assert set(DIALECTS) == set(get_args(get_args(Os)[0]))


def test_docker_20_is_not_asked_what_it_cannot_answer() -> None:
    assert validation(DIALECTS["debian-12"]) == ["python3", "-m", "json.tool", "{path}", "/dev/null"]
    assert "default-network-opts" not in json.loads(daemon_json(DIALECTS["debian-12"], "172.17.0.1/16"))
    assert validation(DIALECTS["debian-13"]) == ["dockerd", "--validate", "--config-file", "{path}"]


def test_health_check(golden: Golden) -> None:
    kind, line = http_check(8080, "/healthz?deep=1")
    golden("health-check.sh", line.replace("; ", "\n") + "\n")
    assert kind == "CMD-SHELL"


def test_kernel_settings(golden: Golden) -> None:
    golden("sysctl.conf", sysctl.sysctl_conf("web1-kernel-sysctl", sysctl.settings({})))


def test_kernel_settings_of_a_host_that_differs(golden: Golden) -> None:
    values = sysctl.settings(
        {"net.ipv4.conf.all.rp_filter": "2", "vm.swappiness": "10"}, ("net.ipv4.", "vm.")
    )
    golden("sysctl.changed.conf", sysctl.sysctl_conf("web1-kernel-sysctl", values))


@pytest.mark.parametrize("os", DIALECTS)
def test_sshd_drop_in(os: str, golden: Golden) -> None:
    options = sshd.SshdOptions(exempt=("203.0.113.7", "2001:db8::/48"))
    golden(f"sshd.{os}.conf", sshd.drop_in("web1-ssh-server", options, DIALECTS[os]))


def test_sshd_drop_in_with_what_varies(golden: Golden) -> None:
    more = {"MaxSessions": "20", "AllowUsers": "deploy alice"}
    options = sshd.SshdOptions(port=2222, login="deploy", root_login="no", more=more)
    text = sshd.drop_in("web1-ssh-server", options, DIALECTS["debian-13"])
    golden("sshd.varied.conf", text)
    assert "MaxSessions 10" not in text


def test_sshd_drop_in_with_tunnels(golden: Golden) -> None:
    tunnels = {"tunnel-bob": ["172.17.0.1:6379"], "tunnel-alice": ["172.17.0.1:27017", "172.17.0.1:6379"]}
    options = sshd.SshdOptions(login="deploy", tunnels=tunnels)
    golden("sshd.tunnels.conf", sshd.drop_in("web1-ssh-server", options, DIALECTS["debian-13"]))


def test_sshd_drop_in_with_the_preview_key(golden: Golden) -> None:
    options = sshd.SshdOptions(login="deploy", preview=True)
    golden("sshd.preview.conf", sshd.drop_in("web1-ssh-server", options, DIALECTS["debian-13"]))


def test_programs_of_the_preview_key(golden: Golden) -> None:
    golden("preview.command.sh", preview.command("web1-preview-command"))
    golden("preview.as-root", preview.as_root("web1-preview-as-root", "web/prod"))
    golden("preview.sudoers", preview.sudoers("web1-preview-sudoers"))


def test_fail2ban_jail_sshd(golden: Golden) -> None:
    given = fail2ban.sshd(Fail2banArgs(), 2222)
    texts, faults = jail_options.options(given)
    assert not faults
    ignoreip = jail_options.ignored(["203.0.113.7", "2001:db8::/32"])
    golden(
        "fail2ban.jail.sshd.local",
        jail_options.jail("web1-fail2ban-sshd", "sshd", texts, ignoreip, enabled=True),
    )


def test_fail2ban_jail_with_log_files(golden: Golden) -> None:
    texts, faults = jail_options.options(
        {
            "logpath": ["/var/log/nginx/*error.log", "/var/log/nginx/error.log"],
            "backend": "auto",
            "port": "http,https",
            "bantime.rndtime": "1h",
            "maxretry": 10,
        }
    )
    assert not faults
    golden(
        "fail2ban.jail.nginx-http-auth.local",
        jail_options.jail("web1-auth", "nginx-http-auth", texts, jail_options.ignored([]), enabled=True),
    )


def test_fail2ban_defaults(golden: Golden) -> None:
    golden(
        "fail2ban.defaults.conf",
        fail2ban.defaults("web1-fail2ban-defaults", Fail2banArgs(ignore=["203.0.113.7"])),
    )


def test_fail2ban_server(golden: Golden) -> None:
    golden("fail2ban.server.local", fail2ban.server("web1-fail2ban-server", Fail2banArgs()))
