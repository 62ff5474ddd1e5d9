"""Tests what tunnels declare: accounts, keys and blocks of sshd.

Also tests their settings, and the lines that people read.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

import pulumi
import pytest
from pulumi.runtime import rpc

from portcullis.cli.password import passwords
from portcullis.cli.tunnels import lines
from portcullis.components import (
    HostArgs,
    JumpArgs,
    SshAccess,
    SshArgs,
    SshTunnel,
    StoreLogin,
    TunnelArgs,
    TunnelTarget,
    export_tunnels,
    tunnel_accounts,
)
from portcullis.components.host.stack import load
from portcullis.components.tunnels.render import tunnel, tunnel_lines
from portcullis.components.users.on_host import authorized_keys
from portcullis.host import Host
from tests.config.test_settings import KEY, faults, smallest
from tests.previews import unknown_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.recording_engine import Deploy

REDIS, MONGO = TunnelTarget(6379), TunnelTarget(27017)


TARGETS = {"redis": REDIS, "mongo": MONGO}


def made(
    targets: Mapping[str, TunnelTarget] = TARGETS,
    keys: Mapping[str, str] | None = None,
    person: str = "alice",
    **more: Any,
) -> SshTunnel:
    args = TunnelArgs(to=list(targets), keys=keys or {})
    return SshTunnel("web1-tunnel-alice", args, host=Host("web1"), person=person, targets=targets, **more)


def test_a_persons_key_may_only_forward_to_the_stores(deploy: Deploy) -> None:
    engine = deploy(lambda: made(keys={"laptop": KEY}))
    user = engine.one(":User").inputs
    assert (user["user"], user["shell"], user["on_delete"]) == ("tunnel-alice", "/usr/sbin/nologin", "remove")
    assert (user["sudo"], user["groups"], user["sessions"]) == (False, {}, "current")
    found = authorized_keys.parse(user["keys"]["laptop"])
    assert found
    assert found.options.split(",") == [
        "restrict",
        'command="/usr/sbin/nologin"',
        "port-forwarding",
        'permitopen="172.17.0.1:27017"',
        'permitopen="172.17.0.1:6379"',
    ]
    assert user["keys"]["laptop"].endswith(KEY)
    assert not engine.of("PrivateKey")


def test_without_a_key_one_is_generated_and_its_private_half_is_a_secret(
    deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def program() -> None:
        given: dict[str, Any] = {}
        monkeypatch.setattr(pulumi, "export", given.__setitem__)
        stores = {"redis": dataclasses.replace(REDIS, tls=True, ca="an authority"), "mongo": MONGO}
        export_tunnels([made(stores)])
        # The recording engine has no stack, but it keeps the outputs of components.
        pulumi.ComponentResource("test:index:Stack", "exports").register_outputs(given)

    engine = deploy(program)
    assert engine.one("PrivateKey").inputs == {"algorithm": "ED25519"}
    assert engine.before("web1-tunnel-alice-account") >= {"web1-tunnel-alice-key"}
    exported = engine.outputs["exports"]
    assert rpc.is_rpc_secret(exported["tunnelKey-alice-web1"])
    assert exported["tunnelCa-web1"] == "an authority"
    (line,) = engine.one(":User").inputs["keys"].values()
    assert 'permitopen="172.17.0.1:6379" ssh-ed25519 AAAA' in line
    assert line.endswith(" tunnel-alice")
    needed = exported["tunnels"]["alice"]["web1"]
    assert needed["generatedKey"] is True
    assert needed["forwards"] == "-L 27017:172.17.0.1:27017 -L 6379:172.17.0.1:6379"


def test_the_printed_data_has_no_password(deploy: Deploy) -> None:
    seen = []

    def program() -> None:
        login = StoreLogin.of(pulumi.Output.secret("redis://app-1:s3cret@redis:6379/0"))
        redis = TunnelTarget(6379, scheme="redis", logins={"app": login})
        tunnel = made({"redis": redis}, keys={"laptop": KEY})
        tunnel.described.apply(seen.append)
        tunnel.passwords["redis-app"].apply(seen.append)

    deploy(program)
    assert {"redis-app": "redis://app-1@localhost:6379"} in [
        one["connect"] for one in seen if isinstance(one, dict)
    ]
    assert "s3cret" in seen


def test_a_login_of_postgresql_is_for_the_database_before_the_dash(deploy: Deploy) -> None:
    seen: list[Any] = []

    def program() -> None:
        urls = {
            "shop-web-api": "postgresql://web-api.shop-1:s3cret@postgres:5432/shop?sslmode=verify-full",
            "b_2-api": "postgresql://api.b_2-3:s3cret@postgres:5432/b_2",
        }
        logins = {label: StoreLogin.of(pulumi.Output.secret(url)) for label, url in urls.items()}
        made({"postgres": TunnelTarget(5432, scheme="postgres", logins=logins)}).described.apply(seen.append)

    deploy(program)
    assert seen[-1]["connect"] == {
        "postgres-shop-web-api": "postgresql://web-api.shop-1@localhost:5432/shop",
        "postgres-b_2-api": "postgresql://api.b_2-3@localhost:5432/b_2",
    }


def test_the_account_is_created_after_sshd_has_its_rules(deploy: Deploy) -> None:
    def program() -> None:
        alice = TunnelArgs(to=["redis", "mongo"], keys={"laptop": KEY})
        tunnels = tunnel_accounts({"alice": alice}, TARGETS)
        access = SshAccess("ssh", SshArgs(), host=Host("web1"), tunnels=tunnels)
        made(keys=alice.keys, opts=pulumi.ResourceOptions(depends_on=[access]))

    engine = deploy(program)
    assert engine.before("web1-tunnel-alice-account") >= {"ssh-server"}
    server = engine.one(":SshServer").inputs
    users = server["users"]["tunnel-alice"]
    assert users["PermitOpen"] == "172.17.0.1:27017 172.17.0.1:6379"
    assert users["MaxSessions"] == "0"
    _, _, blocks = server["content"].partition("\nMatch User tunnel-alice\n")
    assert blocks.startswith("    PermitOpen 172.17.0.1:27017 172.17.0.1:6379\n")
    everybody = blocks.partition("\nMatch User tunnel-*\n")[2].partition("\nMatch ")[0]
    assert "    PermitOpen none\n" in everybody
    for name, value in users.items():
        assert name == "PermitOpen" or f"    {name} {value}\n" in everybody
    assert "\nMatch all\n" in blocks, "the options for logins are repeated last, for all users"


def test_without_tunnels_sshds_configuration_does_not_mention_them(deploy: Deploy) -> None:
    server = deploy(lambda: SshAccess("ssh", SshArgs(), host=Host("web1"))).one(":SshServer")
    assert "users" not in server.inputs
    assert "tunnel" not in server.inputs["content"]


@pytest.mark.parametrize(
    ("declare", "said"),
    [
        (lambda: made(person="Alice"), "SshTunnel.person"),
        (lambda: made(person="a" * 26), "SshTunnel.person"),
        (lambda: made(taken=[0]), "SshTunnel.taken[0]"),
        (lambda: made({}), "TunnelArgs.to: names no store"),
        (lambda: made({"redis": TunnelTarget(0)}), "TunnelTarget.port"),
        (lambda: made({"redis": TunnelTarget(6379, "localhost")}), "TunnelTarget.address"),
        (lambda: made(keys={"laptop": f'command="sh" {KEY}'}), "TunnelArgs.keys.laptop"),
        (lambda: made(keys={"my laptop": KEY}), "TunnelArgs.keys.my laptop"),
    ],
)
def test_faults_of_the_component(declare: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the test is about the text
        declare()
    assert said in str(caught.value)


def test_a_store_without_a_target_is_a_fault_in_both_calls() -> None:
    alice = TunnelArgs(to=["mongo", "rediss"])
    said = re.escape('TunnelArgs.to[1]: "rediss" has no target; did you mean redis?')
    with pytest.raises(ValueError, match=said):
        tunnel_accounts({"alice": alice}, TARGETS)
    with pytest.raises(ValueError, match=said):
        SshTunnel("web1-tunnel-alice", alice, host=Host("web1"), person="alice", targets=TARGETS)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"AllowUsers": "deploy"}, "AllowUsers: refuses tunnel-alice"),
        ({"AllowGroups": "sudo docker"}, "AllowGroups: refuses tunnel-alice"),
        ({"DenyUsers": "tunnel-*"}, "DenyUsers: refuses tunnel-alice"),
        ({"AllowUsers": "deploy tunnel-*@203.0.113.0/24"}, ""),
        ({"AllowUsers": "deploy tunnel-alice", "DenyUsers": "mallory"}, ""),
    ],
)
def test_options_that_refuse_a_tunnel_account_are_faults(
    deploy: Deploy, options: dict[str, str], said: str
) -> None:
    def program() -> None:
        tunnels = {"tunnel-alice": ("172.17.0.1:6379",)}
        SshAccess("ssh", SshArgs(options=options), host=Host("web1"), tunnels=tunnels)

    if not said:
        deploy(program)
        return
    with pytest.raises(ValueError, match=f"SshArgs.options.{said}"):
        deploy(program)


def test_a_tunnel_account_cannot_deploy() -> None:
    with pytest.raises(ValueError, match=r"SshAccess\.login"):
        SshAccess("ssh", SshArgs(), host=Host("web1"), login="tunnel-ci", tunnels={"tunnel-alice": ()})


@pytest.mark.parametrize(
    "target", ["172.17.0.1", "172.17.0.1:*", '172.17.0.1:1" ssh-rsa', "a:1\nPermitOpen any"]
)
def test_an_invalid_target_is_not_rendered(target: str) -> None:
    with pytest.raises(ValueError, match="is not an address with a port"):
        tunnel.key_line(KEY, [target])
    with pytest.raises(ValueError, match="is not an address with a port"):
        tunnel.blocks({"tunnel-alice": [target]})


def stack(raw: Any, **host: Any) -> dict[str, Any]:
    config = smallest()
    config["hosts"]["web1"] |= host
    return config | {"stores": {"redis": {}, "mongo": {"databases": {"shop": {}}}}, "tunnels": raw}


def test_the_settings_are_read() -> None:
    raw = {"alice": {"to": ["redis", "mongo"], "keys": {"laptop": KEY}}, "bob": {"to": ["redis"]}}
    assert load(stack(raw)).tunnels == {
        "alice": TunnelArgs(to=["redis", "mongo"], keys={"laptop": KEY}),
        "bob": TunnelArgs(to=["redis"]),
    }
    assert not load(stack({})).tunnels
    assert not load(stack(None)).tunnels


def test_all_faults_of_the_settings_are_reported_at_once() -> None:
    raw = {
        "alice": {"to": ["rediss", "redis", "redis"], "keys": {"a": KEY, "b": KEY + " again"}},
        "bob": {"keys": {"laptop": "ssh-ed25519 AAAA"}},
        "Carol": {"to": []},
        "dave": {"to": ["redis"], "sudo": True},
    }
    said = "\n".join(faults(stack(raw, users={"tunnel-x": {}, "deploy": {}})))
    for part in (
        'tunnels.alice.to[0]: "rediss" is not a store of this stack; did you mean redis?',
        "tunnels.alice.to: names redis twice",
        "tunnels.alice.keys.b: is the same key as a",
        "tunnels.bob.to: is missing",
        "tunnels.bob.keys.laptop",
        'tunnels.Carol: "Carol" is not a name for a person',
        "tunnels.Carol.to: names no store",
        "tunnels.dave.sudo: is not a known key",
        "hosts.web1.users.tunnel-x: begins with tunnel-",
    ):
        assert part in said


def test_options_that_refuse_an_account_are_faults_of_their_host_only() -> None:
    config = stack({"alice": {"to": ["redis"]}}, ssh={"options": {"AllowUsers": "deploy"}})
    said = "portcullis:hosts.web1.ssh.options.AllowUsers: refuses tunnel-alice, which is declared to tunnel"
    assert faults(config) == [f"{said}; add tunnel-*"]
    # The second host has no tunnels, but it has a preview account.
    ssh = {"options": {"DenyGroups": "tunnel-* portcullis-*"}}
    config["hosts"] = {
        "web1": {**config["hosts"]["web1"], "ssh": {}},
        "web2": {**config["hosts"]["web1"], "address": "203.0.113.11", "ssh": ssh, "preview": {}},
    }
    for store in config["stores"].values():
        store["host"] = "web1"
    config["apps"]["api"]["host"] = "web1"
    said = "portcullis:hosts.web2.ssh.options.DenyGroups: refuses portcullis-preview, which is declared to"
    assert faults(config) == [f"{said} preview; remove the pattern"]


@pytest.mark.parametrize(
    "raw", [[], {"alice": []}, {"alice": {"to": "redis"}}, {"alice": {"to": [1], "keys": []}}]
)
def test_a_value_of_the_wrong_form_is_a_fault_and_no_crash(raw: Any) -> None:
    assert all("portcullis:tunnels" in line for line in faults(stack(raw)))


def test_local_ports_are_unique_and_stable() -> None:
    assert tunnel_lines.local_ports({"redis": 6379, "mongo": 27017}) == {"mongo": 27017, "redis": 6379}
    assert tunnel_lines.local_ports({"b": 6379, "a": 6379}) == {"a": 6379, "b": 16379}
    assert tunnel_lines.local_ports({"a": 6379}, taken=(6379, 16379)) == {"a": 26379}
    assert tunnel_lines.local_ports({"a": 65535, "b": 65535}) == {"a": 65535, "b": 1024}


def test_the_lines_that_people_paste(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jump = JumpArgs(address="2001:db8::1", host_key=KEY)
    hosts = {
        "web1": HostArgs(address="203.0.113.10", os="debian-13", port=2222, host_key=KEY, jump=jump),
    }
    needed = {
        "account": "tunnel-alice",
        "forwards": tunnel_lines.forwards({"redis": "172.17.0.1:6379"}, {"redis": 6379}),
        "generatedKey": True,
        "connect": {"redis-app": "redis://app-1@localhost:6379"},
    }
    said = "\n".join(lines("prod", hosts, {"alice": {"web1": needed, "gone": needed}}))
    assert (
        "ssh -N -o ExitOnForwardFailure=yes -L 6379:172.17.0.1:6379 -p 2222 "
        "-o IdentitiesOnly=yes -i ~/.ssh/tunnel-alice-web1 -J [2001:db8::1]:22 tunnel-alice@203.0.113.10"
    ) in said
    assert f"echo '[203.0.113.10]:2222 {KEY}' >> ~/.ssh/known_hosts" in said
    assert (
        "pulumi stack output tunnelKey-alice-web1 --stack prod --show-secrets > ~/.ssh/tunnel-alice-web1"
        in said
    )
    assert "portcullis password --stack prod redis-app" in said
    assert "gone" not in said
    assert "tunnelCa" not in said
    # In a checkout of the repository, which has the command in bin/.
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/portcullis").touch()
    monkeypatch.chdir(tmp_path)
    said = "\n".join(lines("lab", hosts, {"alice": {"web1": {**needed, "tls": True}}}))
    assert "(. tools/env.sh; pulumi stack output tunnelCa-web1 --stack lab > ~/.ssh/web1-ca.pem)" in said
    assert "(. tools/env.sh; portcullis password --stack lab redis-app)" in said
    assert "(. tools/env.sh; umask 077; pulumi stack output " in said


def test_connection_strings() -> None:
    assert tunnel_lines.mongodb_url("shop-1", "shop", 27017) == (
        "mongodb://shop-1@localhost:27017/shop?authSource=shop&directConnection=true"
    )
    assert tunnel_lines.mongodb_url("shop-1", "shop", 1, tls=True).endswith("&tls=true")
    assert tunnel_lines.redis_url("app-1", 6379, tls=True) == "rediss://app-1@localhost:6379"
    plain = "postgresql://api.shop-1@localhost:15432/shop"
    assert tunnel_lines.postgres_url("api.shop-1", "shop", 15432) == plain
    with_tls = tunnel_lines.postgres_url("api.shop-1", "shop", 15432, tls=True)
    assert with_tls == f"{plain}?sslmode=verify-ca"


def test_passwords_are_found_by_store_or_by_login() -> None:
    outputs = {"password-mongo-shop": "a", "password-mongo-blog": "b", "password-redis-app": "c", "sites": []}
    assert passwords("mongo", outputs) == [("mongo-blog", "b"), ("mongo-shop", "a")]
    assert passwords("redis-app", outputs) == [("redis-app", "c")]
    assert passwords("mon", outputs) == []


@pytest.mark.parametrize("name", ["postgres.shop", "postgres-shop"])
def test_passwords_of_one_database_of_postgresql(name: str) -> None:
    outputs = {f"password-postgres-{label}": label for label in ("shop-api", "shop-web-api", "shop_2-api")}
    found = [("postgres-shop-api", "shop-api"), ("postgres-shop-web-api", "shop-web-api")]
    assert passwords(name, outputs) == found
    assert passwords(f"{name}-api", outputs) == found[:1]


def test_a_preview_knows_every_value_except_a_generated_key() -> None:
    assert unknown_in(made) == {"web1-tunnel-alice-account.keys.generated"}
