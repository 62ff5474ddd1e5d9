"""Arguments of components in a program. These arguments share their declaration with the settings."""

from __future__ import annotations

import asyncio
from typing import Any

import pulumi
import pytest

from portcullis.components.containers.args import AppArgs
from portcullis.components.fail2ban.args import Fail2banArgs
from portcullis.components.host.args import HardenedHostArgs
from portcullis.components.host.stack import load
from portcullis.components.mongodb.args import MongoDBArgs
from portcullis.components.nginx.args import CorsArgs, HstsArgs, SiteArgs
from portcullis.components.redis.args import RedisArgs
from portcullis.components.ssh.args import SshArgs
from portcullis.components.users.args import UserArgs
from portcullis.config.faults import ArgumentsError
from portcullis.config.secret import Secret
from portcullis.host import Host
from tests.config.test_settings import IMAGE, KEY, smallest


def host(**more: Any) -> HardenedHostArgs:
    """Return the host of the README's short program, with additional or other arguments."""
    args: dict[str, Any] = {
        "address": "203.0.113.10",
        "os": "debian-13",
        "host_key": KEY,
        "stores": {"redis": RedisArgs()},
        "apps": {"api": AppArgs(image=IMAGE, port=8080, uses=["redis"])},
        "sites": {"api.example.com": SiteArgs(app="api")},
    }
    return HardenedHostArgs(**args | more)


def faults(**more: Any) -> list[str]:
    with pytest.raises(ArgumentsError) as caught:
        host(**more)
    assert str(caught.value).splitlines() == [str(fault) for fault in caught.value.faults]
    return [str(fault) for fault in caught.value.faults]


def test_twelve_lines_are_a_whole_host() -> None:
    args = host()
    assert args.apps["api"].uses == ("redis",)
    assert args.stores.get("redis") == RedisArgs()
    assert args.fail2ban == Fail2banArgs()


def test_a_host_key_may_be_pasted_as_ssh_keyscan_prints_it() -> None:
    assert host(host_key=f"[203.0.113.10]:2222 {KEY}") == host()
    config = smallest()
    config["hosts"]["web1"]["hostKey"] = f"203.0.113.10 {KEY}"
    assert load(config).host_args("web1").host_key == KEY
    for wrong in (f"a b {KEY}", f"203.0.113.10 {KEY[:-1]}", "203.0.113.10 ssh-ed25519"):
        assert 'host_key: "' in faults(host_key=wrong)[0]


def test_all_faults_at_once_with_names_in_python() -> None:
    with pytest.raises(ArgumentsError) as caught:
        Fail2banArgs(ignore=["0.0.0.0/0", "me"], max_retry=0, ban_tim="7d")  # type: ignore[call-arg]
    assert str(caught.value).splitlines() == [
        "Fail2banArgs.ban_tim: is not a known key; did you mean ban_time?",
        (
            'Fail2banArgs.ignore[1]: "me" is not an address or network; '
            "write 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32"
        ),
        "Fail2banArgs.max_retry: 0 is not a number of tries; write a number from 1 to 1000",
        'Fail2banArgs.ignore[0]: "0.0.0.0/0" contains every address; nobody would ever be banned',
    ]
    assert isinstance(caught.value, ValueError)


def test_python_does_not_accept_the_name_in_yaml() -> None:
    with pytest.raises(ArgumentsError, match="maxRetry: is not a known key; did you mean max_retry"):
        Fail2banArgs(maxRetry=3)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({"host_key": None}, "HardenedHostArgs.host_key: is missing; "),
        ({"host_key": None}, "or trust_host_key: true to trust"),
        ({"trust_host_key": True}, "HardenedHostArgs.trust_host_key: contradicts host_key; "),
        ({"user": "deploy"}, "HardenedHostArgs.users: does not declare deploy"),
        ({"user": "deploy", "users": {"deploy": UserArgs(sudo=True)}}, "users.deploy.keys: has no key"),
        ({"ssh": SshArgs(root_login="no")}, "HardenedHostArgs.ssh.root_login: "),
        ({"jump": "x"}, 'HardenedHostArgs.jump: "x" does not describe a jump host; write JumpArgs(…)'),
        ({"stores": {}}, 'apps.api.uses[0]: "redis" is not an app or a store of this host'),
        ({"stores": {"redi": RedisArgs()}}, "stores.redi: is not a known key; did you mean redis?"),
        ({"port": 80}, "HardenedHostArgs.port: 80 is a port of nginx"),
        ({"apps": {}}, 'sites.api.example.com.app: "api" is not an app of this host'),
        (
            {"apps": {"api": AppArgs(image=IMAGE, health_command=["true"])}},
            "write the port that it listens on under HardenedHostArgs.apps.api.port",
        ),
        (
            {"apps": {"api": AppArgs(image=IMAGE, port=8080, host_port=22)}},
            "HardenedHostArgs.apps.api.host_port: 22 is already used on this host by the SSH server",
        ),
        (
            {"sites": {"a.example.com": SiteArgs(app="api", basic_auth={"alice": "pw"})}},
            '"pw" is not a secret of this host; add the secret to HardenedHostArgs.secrets',
        ),
        (
            {"sites": {"a.example.com": SiteArgs(app="api", challenge="dns")}},
            'challenge: "dns" needs a provider; write HardenedHostArgs.acme.dns',
        ),
        ({"os": "ubuntu-22.04"}, "sites.api.example.com: cannot be served by this host"),
    ],
)
def test_a_host_of_a_program_is_checked_like_a_stack(more: dict[str, Any], line: str) -> None:
    assert any(line in fault for fault in faults(**more)), faults(**more)


def test_a_host_of_a_stack_equals_a_host_of_a_program() -> None:
    config = smallest()
    config["stores"] = {"redis": {}, "mongo": {"databases": {"shop": {}}, "host": "web1"}}
    config["apps"]["api"]["uses"] = ["redis", "mongo.shop"]
    args = load(config).host_args("web1")
    assert args.host_key == KEY
    assert args.apps["api"].uses == ("redis", "mongo.shop")
    assert set(args.stores) == {"redis", "mongo"}


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: HstsArgs(preload=True), "HstsArgs.preload: needs include_sub_domains; "),
        (lambda: CorsArgs(origins=["*"]), 'CorsArgs.origins[0]: "*" is not an origin'),
        (lambda: AppArgs(image=IMAGE), "AppArgs.health: is missing; "),
        (lambda: AppArgs(image=IMAGE), "or health_command: [program"),
        (lambda: AppArgs(image=IMAGE, port=1, env={"A-B": "x"}), "AppArgs.env.A-B: "),
        (lambda: AppArgs(image=IMAGE, port=1, command="a b"), 'AppArgs.command: "a b" is not a list'),
        (AppArgs, "AppArgs.image: is missing"),
    ],
)
def test_each_section_is_checked_where_it_is_made(make: Any, line: str) -> None:
    with pytest.raises(ArgumentsError) as caught:
        make()
    assert line in str(caught.value)


def test_outputs_pass_unchanged() -> None:
    async def program() -> None:  # an output needs an event loop
        image, password = pulumi.Output.from_input("x"), pulumi.Output.from_input("pw")
        app = AppArgs(image=image, port=8080, env={"URL": password})
        assert app.image is image
        assert app.env["URL"] is password
        mongo = MongoDBArgs(databases={}, former_password=password)
        assert mongo.former_password == Secret(password)
        with pytest.raises(TypeError, match="pass the output to a resource"):
            Secret(password).reveal()

    asyncio.run(program())


def test_no_secret_is_in_a_fault_or_a_text() -> None:
    found = faults(secrets={"stripe": "sk-1\0", "other": 12345678}, apps={})
    assert {"sk-1", "12345678"} & set("".join(found).split()) == set()
    assert "sk-1" not in repr(host(secrets={"stripe": "sk-1"}))


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({"secrets": "sk-1"}, ".secrets: this value (a secret) is not a map"),
        ({"secrets": ["sk-1"]}, ".secrets: this value (a secret) is not a map"),
        ({"registries": {"ghcr.io": "sk-1"}}, ".registries.ghcr.io: this value (a secret) does not describe"),
        ({"registries": {"ghcr.io": ("me", "sk-1")}}, ".registries.ghcr.io: this value (a secret) does not"),
        (
            {"backups": {"restic": {"repository": "s3:x", "environment": ["sk-1"]}}},
            ".backups.restic.environment: this value (a secret) is not a map",
        ),
        (
            {"backups": {"restic": {"repository": "https://me:sk-1@copies.example.com"}}},
            ".backups.restic.repository: this value (a secret) names none of restic's backends",
        ),
        (
            {"backups": {"restic": "rest:https://me:sk-1@c.example.com"}},
            ".backups.restic: this value (a secret)",
        ),
        (
            {"apps": {"api": {"image": IMAGE, "port": 1, "secrets": {"stripe": "sk-1"}}}, "sites": {}},
            ".apps.api.secrets: the value is a map and not a list",
        ),
    ],
)
def test_a_secret_of_a_wrong_type_is_not_shown(more: dict[str, Any], line: str) -> None:
    found = faults(**more)
    assert any(fault.startswith(f"HardenedHostArgs{line}") for fault in found), found
    assert "sk-1" not in "".join(found)


def test_the_name_of_a_secret_is_shown() -> None:
    (found,) = faults(secrets={"my key": "sk-1"})
    assert found.startswith('HardenedHostArgs.secrets.my key: "my key" is not a name for a secret')


def test_a_host_is_checked_where_it_is_made() -> None:
    with pytest.raises(
        ArgumentsError, match=r"Host\.alias: \"a b\" is not .*\nHost\.os: \"debian\" is not a supp"
    ):
        Host("a b", os="debian")


def test_a_section_cannot_change_after_its_check() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Fail2banArgs().max_retry = 6  # type: ignore[misc]
