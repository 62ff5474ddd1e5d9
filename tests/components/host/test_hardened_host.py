"""Tests the order of a whole host's parts, and which parts each setting reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from portcullis.components import UserArgs, Users, UsersArgs
from portcullis.components.containers.apps import bridge
from portcullis.host import Host
from tests.components.test_components import host
from tests.config.test_settings import KEY, smallest
from tests.previews import unknown_in
from tests.recording_engine import Engine, declare

if TYPE_CHECKING:
    from tests.recording_engine import Deploy


def deployed_by(user: str = "deploy", **more: Any) -> dict[str, Any]:
    config = smallest()
    config["hosts"]["web1"] |= {
        "user": user,
        "bootstrap": {},
        "users": {user: {"keys": {"laptop": KEY}, "sudo": True}, "anna": {"keys": {"pc": KEY}}},
        **more,
    }
    return config


def up(config: dict[str, Any]) -> Engine:
    return declare(lambda: host(config), preview=False)


def test_the_order_is_users_ssh_server_firewall_containers(deploy: Deploy) -> None:
    engine = deploy(lambda: host(deployed_by()))
    users = {"web1-users-deploy", "web1-users-anna", "web1-users-administrators"}
    assert engine.before("web1-users-deploy") == {"web1-users-packages"}
    assert "web1-users-deploy" in engine.before("web1-users-anna"), "that login confirms what is done to anna"
    assert engine.before("web1-users-administrators") >= {"web1-users-deploy", "web1-users-anna"}
    assert engine.before("web1-ssh-server") >= users
    for closing in ("web1-firewall-policy", "web1-fail2ban-sshd"):
        assert "web1-ssh-server" in engine.before(closing)
    assert engine.before("web1-docker-service") >= {"web1-ssh-server", "web1-firewall-forward"}
    for part in ("api-image", "api-network", "api-container"):
        # The docker provider uses the declared port and user.
        assert engine.before(part) >= {*users, "web1-ssh-server", "web1-firewall-forward"}
    assert "api-container" in engine.before("web1-nginx-api.example.com")


@pytest.mark.parametrize(
    ("part", "first"),
    [
        # fail2ban bans on the new port of the SSH server.
        ("web1-fail2ban-sshd", "web1-ssh-server"),
        # If the log file of a jail is missing, fail2ban does not start. nginx creates these files.
        ("web1-nginx-jails-filter", "web1-fail2ban-service"),
        ("web1-nginx-jails-nginx-limit-req", "web1-nginx-served"),
        # The certificate authority connects to port 80, which the firewall opens.
        ("web1-nginx-api.example.com-certificate", "web1-firewall-policy"),
        # No local user may bind a container's port while the container does not run.
        ("web1-docker-service", "web1-kernel-sysctl"),
        ("api-container", "web1-kernel-sysctl"),
        # Until the firewall is declared, ufw's own file sets other values.
        ("web1-kernel-sysctl", "web1-firewall-policy"),
        # The installation of unattended-upgrades removes empty folders of units.
        ("web1-upkeep-journald-folder", "web1-updates-packages"),
    ],
)
def test_a_part_comes_after_the_parts_it_needs(part: str, first: str) -> None:
    assert first in up(smallest()).before(part)


def test_only_the_deploying_user_may_use_docker_and_become_root() -> None:
    engine = up(deployed_by())
    deploy = engine.one(":User", "web1-users-deploy").inputs
    assert deploy["groups"] == {"docker": "member"}
    assert deploy["sudo"] is True
    assert deploy["keys"] == {"laptop": KEY}
    anna = engine.one(":User", "web1-users-anna").inputs
    assert "groups" not in anna
    assert anna["sudo"] is False
    assert engine.one(":Administrators").inputs["users"] == {"deploy": "declared"}


def test_a_host_that_root_deploys_to_has_no_other_administrator() -> None:
    engine = up(smallest())
    assert not engine.of(":User")
    assert engine.one(":Administrators").inputs["users"] == {}
    assert "web1-users-administrators" in engine.before("web1-ssh-server")


def test_the_settings_of_ssh_reach_server_and_jail() -> None:
    ssh = {"rootLogin": "no", "options": {"MaxSessions": 99}}
    engine = up(deployed_by(port=2222, ssh=ssh, fail2ban={"ignore": ["203.0.113.7"], "maxRetry": 3}))
    server = engine.one(":SshServer").inputs
    assert (server["port"], server["login"]) == ("2222", "deploy")
    assert "PermitRootLogin no\n" in server["content"]
    assert "MaxSessions 99\n" in server["content"]
    assert "203.0.113.7" in server["content"], "sshd itself must not make a declared address wait"
    jail = engine.one(":Fail2banJail", "web1-fail2ban-sshd").inputs
    assert jail["options"]["port"] == "2222"
    assert jail["options"]["maxretry"] == "3"
    assert "203.0.113.7" in jail["ignoreip"]


def test_the_open_ports() -> None:
    allow = {"8443/tcp": {"from": ["203.0.113.0/24", "2001:db8::/32"]}, "60000:61000/udp": {}}
    rules = up(deployed_by(firewall={"allow": allow})).one(":UfwPolicy").inputs["rules"]
    assert set(rules) == {
        "in 80/tcp",
        "in 443/tcp",
        "in 8443/tcp from 203.0.113.0/24",
        "in 8443/tcp from 2001:db8::/32",
        "in 60000:61000/udp",
    }


def test_a_host_without_sites_opens_no_port_of_the_web() -> None:
    assert up(smallest() | {"sites": {}}).one(":UfwPolicy").inputs["rules"] == {}


def test_the_filter_knows_the_bind_address_and_what_is_public() -> None:
    firewall = {"public": {"8000:8010/tcp": {"from": ["203.0.113.0/24"]}}, "outside": ["vmbr0"]}
    engine = up(deployed_by(firewall=firewall, dockerEngine={"bip": "10.200.0.1/24"}))
    table = engine.one(":ForwardFilter").inputs["table"]
    assert "ct original ip daddr 10.200.0.1 ct status dnat" in table
    assert "ct original proto-dst 8000-8010 ip saddr 203.0.113.0/24 accept" in table
    assert 'iifname != "vmbr0"' in table


def test_the_egress_of_an_app_is_by_interface() -> None:
    config = deployed_by()
    config["apps"]["api"]["egress"] = ["203.0.113.9:443/tcp"]
    engine = up(config)
    options = engine.one("network:Network").inputs["options"]
    assert options["com.docker.network.bridge.name"] == "br-api"
    table = engine.one(":ForwardFilter").inputs["table"]
    assert 'iifname "br-api" ip daddr 203.0.113.9 tcp dport 443 accept' in table
    assert 'iifname "br-api" counter drop' in table


@pytest.mark.parametrize("app", ["api", "a" * 12, "a" * 13, "a" * 31])
def test_linux_accepts_the_names_of_interfaces(app: str) -> None:
    assert len(bridge(app)) <= 15
    assert bridge(app) != bridge(app[:-1] + "b")


def test_the_other_settings_reach_their_parts() -> None:
    engine = up(
        deployed_by(
            kernel={"values": {"net.ipv4.conf.all.rp_filter": 2}, "only": ["net."]},
            updates={"reboot": "never", "docker": "hold"},
            upkeep={"journal": "1G", "imagePrune": "never", "timeSync": False},
            dockerEngine={"addressPools": [{"base": "10.201.0.0/16", "size": 24}]},
        )
    )
    values = engine.one(":Sysctl").inputs["values"]
    assert values["net.ipv4.conf.all.rp_filter"] == "2"
    assert all(key.startswith("net.") for key in values)
    assert "docker" in engine.one(":File", "web1-updates-apt").inputs["content"]
    assert not [r.name for r in engine.declared if "timer-time" in r.name or "prune" in r.name]
    assert "1G" in engine.one(":File", "web1-upkeep-journald").inputs["content"]
    assert "10.201.0.0/16" in engine.one(":File", "web1-docker-daemon.json").inputs["content"]


def test_every_part_is_on_this_host_and_adopts_on_request() -> None:
    config = deployed_by(adopt=True)
    found = [r for r in up(config).declared if r.is_on_host]
    assert {r.inputs["host"] for r in found} == {"web1"}
    # These resources only report on the work of other resources in the same deploy.
    theirs = (
        ":Packages", ":ContainerState", ":EngineVersion", ":Release", ":Drain", ":ServedSites", ":Exposure",
        ":Inventory",
    )  # fmt: skip
    late = [r.name for r in found if not r.inputs.get("adopt") and not r.type.endswith(theirs)]
    assert not late


def test_a_whole_host_costs_the_engine_few_resources() -> None:
    assert len(up(deployed_by()).declared) <= 91


def test_only_declared_users_are_in_groups() -> None:
    with pytest.raises(ValueError, match=r"UsersArgs\.groups\.eve: is not a declared user"):
        UsersArgs(groups={"eve": ("docker",)})
    with pytest.raises(ValueError, match=r"UsersArgs\.users\.root\.sudo: has no meaning for root"):
        UsersArgs(users={"root": UserArgs(sudo=True)})
    with pytest.raises(ValueError, match="is not a user name") as caught:
        UsersArgs(users={"a b": UserArgs()}, login="c d", groups={"a b": ("e f",)})
    assert [fault.path for fault in caught.value.faults] == [  # type: ignore[attr-defined]
        "UsersArgs.users.a b", "UsersArgs.login", "UsersArgs.groups.a b", "UsersArgs.groups.a b[0]",
    ]  # fmt: skip


def test_users_alone(deploy: Deploy) -> None:
    engine = deploy(lambda: Users("web1-users", UsersArgs(), host=Host("web1")))
    assert engine.outputs["web1-users"] == {"users": []}


def test_an_accepted_file_in_a_parts_folder_is_passed_to_the_part() -> None:
    accept = {
        "file /etc/nginx/conf.d/agency.conf": "the agency's",
        "file /etc/fail2ban/jail.d/x.conf": "another jail",
        "file /etc/ssh/sshd_config": "the provider's",
        "file /etc/nginxes": "not a part's",
        "container leak": "a test",
    }
    engine = up(deployed_by(inventory={"accept": accept}))
    assert engine.one(":ServedSites").inputs["accepted"] == {"/etc/nginx/conf.d/agency.conf": "the agency's"}
    assert engine.one(":SshServer").inputs["accepted"] == {"/etc/ssh/sshd_config": "the provider's"}
    jails = {r.inputs["jail"]: r.inputs["accepted"] for r in engine.of(":Fail2banJail")}
    assert jails["sshd"] == {"/etc/fail2ban/jail.d/x.conf": "another jail"}
    left = engine.one(":Inventory").inputs["accepted"]
    assert left == {"file /etc/nginxes": "not a part's", "container leak": "a test"}


def test_root_has_no_key_once_another_user_deploys(deploy: Deploy) -> None:
    users = {"deploy": UserArgs(keys={"a": KEY}, sudo=True)}
    engine = deploy(lambda: Users("web1-users", UsersArgs(users=users, login="deploy"), host=Host("web1")))
    root = engine.one(":User", "web1-users-root")
    assert (root.inputs["user"], root.inputs["keys"]) == ("root", {})
    assert "web1-users-deploy" in root.after, "whose login confirms it"


def test_root_keeps_the_keys_that_are_declared(deploy: Deploy) -> None:
    users = {"deploy": UserArgs(keys={"a": KEY}, sudo=True), "root": UserArgs(keys={"safe": KEY})}
    engine = deploy(lambda: Users("web1-users", UsersArgs(users=users, login="deploy"), host=Host("web1")))
    assert engine.one(":User", "web1-users-root").inputs["keys"] == {"safe": KEY}


def test_root_that_deploys_keeps_its_keys_and_gets_a_hint_to_declare_them(
    deploy: Deploy, caplog: pytest.LogCaptureFixture
) -> None:
    engine = deploy(lambda: Users("web1-users", UsersArgs(), host=Host("web1")))
    assert engine.of(":User") == []
    assert "users: {root: {keys: {laptop: ssh-ed25519 AAAA…}}}" in caplog.text


def test_users_adopt_on_request(deploy: Deploy) -> None:
    args = UsersArgs(users={"deploy": UserArgs(keys={"a": KEY})})
    engine = deploy(lambda: Users("web1-users", args, host=Host("web1", adopt=True)))
    assert all(one.inputs["adopt"] is True for one in engine.declared if one.is_on_host)


def test_only_the_ids_of_images_are_unknown_in_a_preview() -> None:
    assert unknown_in(lambda: host(deployed_by(upkeep={"swap": "1G"}, preview={}))) == {"api-container.image"}
