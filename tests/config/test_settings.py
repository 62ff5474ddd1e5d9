"""Tests which values the settings accept and refuse, and the messages."""

from __future__ import annotations

import copy
import functools
import json
from typing import Any

import pytest

from portcullis.components.host.stack import StackArgs, load
from portcullis.config.faults import SettingsError, shown
from portcullis.config.sources import of_json
from portcullis.printable import MARK

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq"
IMAGE = "ghcr.io/acme/api@sha256:" + "a" * 64


def smallest() -> dict[str, Any]:
    return {
        "hosts": {"web1": {"address": "203.0.113.10", "os": "debian-13", "hostKey": KEY}},
        "apps": {"api": {"image": IMAGE, "port": 8080, "hostPort": 2019, "health": "/healthz"}},
        "acme": {"email": "ops@example.com"},
        "sites": {"api.example.com": {"app": "api"}},
    }


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the smallest settings with one value changed; None removes the key.

    In the path, / stands for a dot inside a key.
    """
    config = copy.deepcopy(smallest())
    *way, last = (part.replace("/", ".") for part in path.split("."))
    place = config
    for part in way:
        place = place.setdefault(part, {})
    if value is None:
        place.pop(last)
    else:
        place[last] = value
    return config


def faults(config: dict[str, Any], **more: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(config, **more)
    assert str(caught.value).count("\n") == len(caught.value.faults)
    return [str(fault) for fault in caught.value.faults]


def test_defaults_of_the_smallest_settings() -> None:
    settings = load(smallest())
    host, app = settings.hosts["web1"], settings.apps["api"]
    assert (host.user, host.port, host.adopt, host.jump, host.bootstrap) == ("root", 22, False, None, None)
    assert host.docker_engine.bind_address == "172.17.0.1"
    assert (app.user, app.memory, app.cpus, app.env, app.command) == ("65534:65534", 256, "1", {}, None)
    assert settings.host_of("api") == "web1"
    assert settings.apps_on("web1").keys() == {"api"}
    assert settings.sites_on("web1").keys() == {"api.example.com"}


def test_every_setting_is_accepted() -> None:
    config = smallest()
    config["hosts"]["web1"] |= {
        "address": "2001:db8::10",
        "user": "deploy",
        "port": 2222,
        "hostKey": KEY + " root@web1",
        "identityFile": "~/.ssh/deploy",
        "jump": {"address": "jump.example.com", "user": "hop", "trustHostKey": True},
        "bootstrap": {"user": "debian"},
        "users": {"deploy": {"keys": {"laptop": KEY}, "sudo": True}},
        "adopt": True,
        "dockerEngine": {"bip": "10.200.0.1/24"},
    }
    config["hosts"]["web2"] = {"address": "web2", "os": "debian-12", "trustHostKey": True}
    config["apps"]["api"] |= {
        "host": "web1",
        "env": {"LOG_LEVEL": "info"},
        "command": ["node", "server.js"],
        "user": 1000,
        "memory": 512,
        "cpus": 0.5,
    }
    config["apps"]["worker"] = {"image": IMAGE, "host": "web2", "healthCommand": ["true"]}
    settings = load(config)
    web1 = settings.hosts["web1"]
    assert web1.docker_engine.bind_address == "10.200.0.1"
    assert web1.jump is not None
    assert web1.jump.port == 22
    assert web1.bootstrap is not None
    assert web1.bootstrap.user == "debian"
    assert settings.apps["api"].user == "1000"
    assert settings.apps["api"].cpus == "0.5"
    assert settings.apps_on("web2").keys() == {"worker"}
    assert settings.sites_on("web2") == {}


def test_all_faults_at_once() -> None:
    config = {
        "site": {},
        "hosts": {
            "web1": {"adress": "203.0.113.10", "os": "debian13"},
            "db": {"address": "198.51.100.7", "os": "ubuntu-20.04", "hostKey": "x"},
        },
        "apps": {
            "api": {"image": "nginx", "port": "80a", "hostPort": True, "env": {"A": 1.1}, "user": 0},
            "b": 3,
        },
        "sites": {"API.example.com.": {"app": "apo"}},
    }
    found = faults(config)
    assert [line.split(": ")[0] for line in found] == [
        "portcullis:site",
        "portcullis:hosts.web1.adress",
        "portcullis:hosts.web1.address",
        "portcullis:hosts.web1.os",
        "portcullis:hosts.web1.hostKey",
        "portcullis:hosts.db.os",
        "portcullis:hosts.db.hostKey",
        "portcullis:apps.api.image",
        "portcullis:apps.api.port",
        "portcullis:apps.api.hostPort",
        "portcullis:apps.api.env.A",
        "portcullis:apps.api.user",
        "portcullis:apps.b",
        "portcullis:apps.api.host",
        "portcullis:apps.b.host",
        "portcullis:sites.API.example.com.",
        "portcullis:sites.API.example.com..app",
        "portcullis:sites.API.example.com.",
    ]


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("hosts", None, "portcullis:hosts: declares no host"),
        ("hosts", {}, "portcullis:hosts: declares no host"),
        ("hosts", "web1", 'portcullis:hosts: "web1" is not a map'),
        ("hosts", ["web1"], "is not a map"),
        ("hosts.web1.address", "203.0.113.10:22", "is neither an IP address nor a host name"),
        ("hosts.web1.address", "fe80::1%eth0", "is neither an IP address nor a host name"),
        ("hosts.web1.address", "203.0.113", "is neither an IP address nor a host name"),
        ("hosts.web1.address", "-oProxyCommand=id", "is neither an IP address nor a host name"),
        ("hosts.web1.os", "debian-14", "did you mean debian-1"),
        ("hosts.web1.os", "ubuntu-20.04", "is not supported: its standard support has ended"),
        (
            "hosts.web1.os",
            "debian-11",
            "is not supported: it gets no security updates",
        ),
        ("hosts.web1.os", "ubuntu-22.04", "sites.api.example.com: cannot be served by web1"),
        ("hosts.web1.os", "windows", "choose from debian-12, debian-13, ubuntu-22.04, ubuntu-24.04"),
        ("hosts.web1.port", 0, "0 is not a port; write a number from 1 to 65535"),
        ("hosts.web1.port", 65536, "65536 is not a port"),
        ("hosts.web1.port", 22.5, "22.5 is not a port"),
        ("hosts.web1.port", "022", "is not a port"),
        ("hosts.web1.hostKey", None, "or trustHostKey: true"),
        ("hosts.web1.hostKey", KEY[:-8], "is not a complete ssh-ed25519 key"),
        ("hosts.web1.hostKey", KEY.replace("ssh-ed25519", "ssh-rsa"), "is not a complete ssh-rsa key"),
        ("hosts.web1.hostKey", "ssh-dss AAAA", "is not the public key of a host"),
        ("hosts.web1.hostKey", "ssh-ed25519 &&&", "is not base64"),
        ("hosts.web1.trustHostKey", True, "hosts.web1.trustHostKey: contradicts hostKey"),
        ("hosts.web1.trustHostKey", "yes", '"yes" is neither true nor false'),
        ("hosts.web1.user", "root; id", "is not a user name"),
        ("hosts.web1.identityFile", 'a"b', "is not a file on this machine"),
        ("hosts.web1.jump", {"address": "203.0.113.1"}, "hosts.web1.jump.hostKey: is missing"),
        ("hosts.web1.jump", "203.0.113.1", "does not describe a jump host"),
        ("hosts.web1.dockerEngine", {"bip": "172.17.0.1"}, "has no usable prefix"),
        ("hosts.web1.dockerEngine", {"bip": "172.17.0.0/16"}, "is the address of the network itself"),
        ("hosts.web1.dockerEngine", {"bip": "203.0.114.1/24"}, "is not a private network"),
        ("hosts.web1.dockerEngine", {"bip": "docker0"}, "is not an IPv4 address with a prefix"),
        (
            "hosts.Web1",
            {"address": "203.0.113.9", "os": "debian-12", "hostKey": KEY},
            "is not a name for a host",
        ),
        ("hosts.a-jump", {"address": "203.0.113.9", "os": "debian-12", "hostKey": KEY}, "not ending in"),
        ("apps.bridge", {"image": IMAGE, "healthCommand": ["/ok"]}, "Docker's own networks"),
        ("apps.none", {"image": IMAGE, "healthCommand": ["/ok"]}, "is not a name for an app"),
        ("apps.api.image", "ghcr.io/acme/api", "names no tag"),
        ("apps.api.image", "ghcr.io/acme/api@sha256:abc", "is not an image with a digest"),
        ("apps.api.image", "GHCR.io/acme/api@sha256:" + "a" * 64, "is not an image with a digest"),
        ("apps.api.host", "web2", "did you mean web1?"),
        ("apps.api.hostPort", 22, "22 is already used on web1 by the SSH server"),
        ("apps.api.hostPort", 443, "443 is already used on web1 by nginx"),
        (
            "apps.api.hostPort",
            32768,
            "32768 is not a port that only root may listen on; write a number from 1 to 32767",
        ),
        ("apps.api.port", None, 'sites.api.example.com.app: "api" has no port that nginx could reach'),
        ("sites.api/example/com.app", None, "sites.api.example.com.app: is missing"),
        ("sites.api/example/com.root", "web/dist", "sites.api.example.com.root: cannot be used beside app"),
        ("sites.api/example/com.spa", True, "sites.api.example.com.spa: needs files"),
        ("sites.api/example/com.paths", {"/": "api"}, "sites.api.example.com.paths./: covers the whole site"),
        ("sites.api/example/com.paths", {"/a/": "apy"}, 'paths./a/: "apy" is not an app of this stack'),
        ("sites.api/example/com.paths", {"/a b": "api"}, "is not the beginning of a path"),
        (
            "apps.api.uses",
            ["redis"],
            'apps.api.uses[0]: "redis" is not an app or a store of this stack; declare the store',
        ),
        ("apps.api.uses", ["mongo.a/b"], "apps.api.uses[0]: "),
        ("apps.api.secrets", ["stripeKey"], "pulumi config set --secret --path portcullis:secrets.stripeKey"),
        ("apps.api.volumes", {"data": "/proc/x"}, "belongs to the system"),
        ("apps.api.jobs", {"before": ["a\nb"]}, "apps.api.jobs.before[0]: "),
        ("apps.api.port", None, "apps.api.hostPort: needs the port that the app listens on"),
        ("apps.worker", {"image": IMAGE}, "apps.worker.health: is missing"),
        ("apps.api.health", "healthz", "is not a path"),
        ("apps.api.health", "/a'; id", "is not a path"),
        ("apps.api.healthCommand", ["true"], "is a second health check beside health"),
        ("apps.api.command", "node server.js", "is not a list"),
        ("apps.api.command", ["node", 1], "apps.api.command[1]: 1 is not text"),
        ("apps.api.user", "root:root", "is root"),
        ("apps.api.user", "00", "is root"),
        ("apps.api.user", "0000:1000", "is root"),
        ("apps.api.user", "1000:00", "is in root's group"),
        ("apps.api.user", "nobody:root", "is in root's group"),
        ("apps.api.user", "a b", "is not a user"),
        ("apps.api.memory", "256m", "write the number of megabytes"),
        ("apps.api.memory", 4, "4 is not an amount of memory in MB"),
        ("apps.api.cpus", 0, "0 is not a number of CPUs"),
        ("apps.api.cpus", True, "true is not a number of CPUs"),
        ("apps.api.cpus", "NaN", "is not a number of CPUs"),
        ("apps.api.cpus", 0.05, "0.05 is read back as 0.1 by Docker's provider, "),
        ("apps.api.cpus", 0.01, "; write 0.1"),
        ("apps.api.cpus", "10.01", "; write 10.1"),
        ("apps.api.cpus", "0.1234567891", "has more than 9 decimals; write 0.2"),
        ("apps.api.env", {"A-B": "x"}, "is not a name for an environment variable"),
        ("apps.api.helth", "/", "did you mean health?"),
        ("apps.api.stop_grace", 20, "apps.api.stop_grace: is not a known key; did you mean stopGrace?"),
        ("sites.api/example/com.app", "apy", '"apy" is not an app of this stack; did you mean api?'),
        ("sites.*/example/com", {"app": "api"}, "is a wildcard"),
        ("sites.203/0/113/10", {"app": "api"}, "is an address"),
        ("sites", {"https://Shop.example.com/": {"app": "api"}}, "is an address; write shop.example.com"),
        ("sites", {"https://[2001:db8::1]/": {"app": "api"}}, "is an address; write the host name"),
        ("sites", {"https://me:pw@example.com/": {"app": "api"}}, "is an address; write the host name"),
        ("sites", {"https://10.0.0.5/": {"app": "api"}}, "is an address; write the host name"),
        ("sites", {"Shop_Example..com": {"app": "api"}}, "is not a host name"),
        ("sites.münchen/example", {"app": "api"}, "write xn--mnchen-3ya.example"),
        ("sites.Api/example", {"app": "api"}, "write api.example"),
        ("sites.localhost", {"app": "api"}, "is not a host name"),
        ("sites." + "/".join(["a" * 60] * 4), {"app": "api"}, "is longer than 200 characters"),
        ("sites.a/example;}", {"app": "api"}, "is not a host name"),
        ("sites", {"api.example.com": None}, "is empty"),
    ],
)
def test_a_fault_has_path_reason_and_hint(path: str, value: Any, words: str) -> None:
    found = faults(changed(path, value))
    assert any(words in line for line in found), found
    # With a second host, the app must name its host. A missing port causes two faults.
    assert len(found) == 1 or path in {
        "hosts.Web1",
        "hosts.a-jump",
        "hosts",
        "apps.api.port",
        "hosts.web1.jump",
    }


def test_two_apps_on_one_host_port() -> None:
    config = smallest()
    config["apps"]["web"] = {**config["apps"]["api"], "hostPort": "2019"}
    assert faults(config) == [
        "portcullis:apps.web.hostPort: 2019 is already used on web1 by app api; choose another",
    ]


def test_one_host_port_on_two_hosts() -> None:
    config = smallest()
    config["hosts"]["web2"] = config["hosts"]["web1"]
    config["apps"]["api"]["host"] = "web1"
    config["apps"]["web"] = {**config["apps"]["api"], "host": "web2"}
    assert load(config).apps["web"].host_port == 2019


def test_the_moved_ssh_port_and_the_bootstrap_port_are_used() -> None:
    config = changed("apps.api.hostPort", 2222)
    config["hosts"]["web1"] |= {"port": 2222, "bootstrap": {}}
    config["apps"]["b"] = {**config["apps"]["api"], "hostPort": 22}
    assert [line.split(":")[1] for line in faults(config)] == ["apps.api.hostPort", "apps.b.hostPort"]


@pytest.mark.parametrize("value", [8080, 8080.0, "8080"])
def test_a_port_of_any_type_that_yaml_gives(value: Any) -> None:
    assert load(changed("apps.api.port", value)).apps["api"].port == 8080


@pytest.mark.parametrize("value", [1, 1.0, "1", "1.0"])
def test_cpus_have_one_normal_form(value: Any) -> None:
    assert load(changed("apps.api.cpus", value)).apps["api"].cpus == "1"


@pytest.mark.parametrize("value", [True, 1.1, 8, None])
def test_environment_values_that_yaml_changed_are_refused(value: Any) -> None:
    [line] = faults(changed("apps.api.env", {"A": value}))
    assert line.startswith("portcullis:apps.api.env.A: ")
    assert '""' in line if value is None else "put the value in quotes" in line


def test_an_empty_value_is_an_empty_section() -> None:
    config = smallest() | {"sites": None}
    config["apps"]["api"]["env"] = None
    settings = load(config)
    assert settings.sites == {}
    assert settings.apps["api"].env == {}


def test_no_fault_shows_a_secret_value() -> None:
    config = smallest()
    config["apps"]["api"] |= {"env": {"TOKEN": 4711471147114711}, "image": "s3cr3t", "user": "s3 cr3t"}
    found = faults(config, secret={"apps"})
    assert len(found) == 3
    assert "4711" not in str(found)
    assert "s3" not in str(found)


def test_a_long_value_is_cut() -> None:
    [line] = faults(changed("apps.api.image", "x!" * 500))
    assert len(line) < 300


def test_settings_are_a_map() -> None:
    assert load(json.loads(json.dumps(smallest()))) == load(smallest())


def test_a_misspelt_namespace_is_a_fault() -> None:
    with pytest.raises(SettingsError) as caught:
        load(smallest(), others=["portculis:sites", "aws:region", "Portcullis:apps"])
    assert [fault.path for fault in caught.value.faults] == ["portculis:sites", "Portcullis:apps"]
    assert "keys of this program begin with portcullis:" in str(caught.value)
    load(smallest(), others=["aws:region", "pulumi:tags", "docker:host"])


def test_two_apps_must_not_lead_to_the_same_name_on_the_host() -> None:
    config = smallest()
    config["stores"] = {"redis": {}}
    served, worker = dict(config["apps"]["api"]), {"image": IMAGE, "healthCommand": ["/ok"]}
    served.pop("hostPort", None)
    config["apps"] = {
        "api": served,
        "api-2": worker,
        "worker": worker,
        "worker-2": worker,
        "ops": {**worker, "uses": ["redis"]},
        "redis-shared": worker,
        "web": {**worker, "volumes": {"eu-data": "/data"}},
        "web-eu": {**worker, "host": "web1", "volumes": {"data": "/data"}},
    }
    assert [fault.partition("; ")[0] for fault in faults(config)] == [
        "portcullis:apps.api-2: is a name that releases of the app api use",
        "portcullis:apps.ops: is the name of our own Redis user",
        "portcullis:apps.redis-shared: is the name of a store's network",
        (
            "portcullis:apps.web-eu.volumes.data: becomes web-eu-data on the host, "
            "which is already a volume of the app web"
        ),
    ]


def test_only_a_served_app_without_a_fixed_port_has_releases() -> None:
    config = smallest()
    worker = {"image": IMAGE, "healthCommand": ["/ok"]}
    served = {**config["apps"]["api"], "hostPort": 8001}
    config["apps"] = {"api": served, "api-2": worker, "other": worker, "other-2": worker}
    load(config)
    del config["apps"]["api"]["hostPort"]
    (fault,) = faults(config)
    assert "api-2: is a name that releases of the app api use" in fault


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("157248000", True), ("157248001", False), ("157248000s", True), ("157248001s", False),
        ("2620800m", True), ("2620801m", False), ("43680h", True), ("43681h", False), ("1820d", True),
        ("1821d", False), ("260w", True), ("261w", False), ("1", True),
    ],
)  # fmt: skip
def test_a_length_of_time_is_at_most_five_years_in_every_unit(text: str, fits: bool) -> None:  # noqa: FBT001
    found = faults({"hosts": {"web1": {"fail2ban": {"banTime": text}}}})
    said = [fault for fault in found if "banTime" in fault]
    assert any("is longer than 260 weeks (five years)" in fault for fault in said) is not fits
    assert bool(said) is not fits


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("apps.api.secrets", [["x"]], "apps.api.secrets[0]: "),
        ("apps.api.secrets", [{"x": 1}], "apps.api.secrets[0]: "),
        ("acme", {"email": "a@example.com", "caBundle": "ca.pem", "server": {"a": 1}}, "acme.server: "),
        ("apps.api.env", {"A": [[]]}, "apps.api.env.A: "),
    ],
)
def test_a_structure_instead_of_a_text_is_a_fault(path: str, value: Any, words: str) -> None:
    assert any(words in line for line in faults(changed(path, value)))


def test_a_store_on_a_host_that_is_no_text_is_a_fault() -> None:
    config = smallest() | {"stores": {"redis": {"host": ["a"]}}, "tunnels": {"ann": {"to": ["redis"]}}}
    assert any("stores.redis.host: " in line for line in faults(config))


@pytest.mark.parametrize(
    "name",
    ["a\n  portcullis:hosts: is fine", "\x1b[2J", "\u202ebew", "\ud800", "::stop-commands::x", "<{%reset%}>"],
)
def test_a_name_cannot_control_a_terminal_or_a_log(name: str) -> None:
    for config in (changed("apps", {name: {}}), changed("sites", {name: {"app": name}})):
        said = faults(config)
        assert said
        assert all(line.replace(MARK, "").isprintable() for line in said)
        assert not any("::stop-commands::" in line and line.startswith("::") for line in said)


def test_a_long_name_is_cut() -> None:
    assert max(map(len, faults(changed("apps", {"x" * 100_000: {"port": "y" * 100_000}})))) <= 2000


def test_endless_nesting_is_a_fault() -> None:
    deep = "[" * 100_000 + "]" * 100_000
    with pytest.raises(SettingsError, match=r"portcullis:hosts: .* is not a map"):
        of_json(StackArgs, {"portcullis:hosts": {"value": deep}})
    assert (
        shown(functools.reduce(lambda inner, _: [inner], range(100_000), [])) == "an endlessly nested value"
    )


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("hosts.web1.address", "\u212aelvin.example.com", "is neither an IP address nor a host name"),
        ("hosts.web1.identityFile", "~/.ssh/\x85id", "contains a control character"),
        ("hosts.web1.exposure", {"accept": {"tcp4 0.0.0.0:25": "mail \u202e"}}, "a control character"),
        ("apps.api.env", {"A": "\ud800"}, "contains half of a Unicode surrogate pair"),
        ("apps.api.command", ["a", "\udce9"], "apps.api.command[1]: "),
        ("stores", {"mongo": {"databases": {"sh\ud800p": {}}}}, "contains half of a Unicode surrogate pair"),
        ("policy", {"exempt": {"no-swarm-service": {"a\0b": {"reason": "x"}}}}, "a control character"),
    ],
)
def test_a_text_without_control_characters_and_look_alikes(path: str, value: Any, words: str) -> None:
    assert any(words in line for line in faults(changed(path, value)))


SCOPED = "fe80::1%eth0 203.0.113.7; }"
"""Return an address with an interface and more text, which Python accepts."""


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("sites.api/example/com.allow", [SCOPED]),
        ("hosts.web1.fail2ban", {"ignore": [SCOPED]}),
        ("hosts.web1.proxy", {"trustedProxies": [SCOPED]}),
        ("hosts.web1.firewall", {"allow": {"25/tcp": {"from": [SCOPED]}}}),
        ("hosts.web1.firewall", {"public": {"25/tcp": {"from": [SCOPED]}}}),
        ("hosts.web1.firewall", {"deny": {"any from fe80::1%eth0;id": "why"}}),
        ("apps.api.egress", [SCOPED]),
    ],
)
def test_an_address_cannot_bring_other_text_into_a_file(path: str, value: Any) -> None:
    assert faults(changed(path, value))


@pytest.mark.parametrize("deny", [{"25/tcp\n": "why"}, {"25/tcp": "why\n"}, {"25/tcp": "\n"}])
def test_a_rule_and_its_comment_are_one_line(deny: dict[str, str]) -> None:
    assert faults(changed("hosts.web1.firewall", {"deny": deny}))
