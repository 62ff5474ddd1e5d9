"""Tests the order of the resources of SSH access, and which arguments are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi
import pytest

from portcullis.components import SshAccess, SshArgs
from portcullis.components.ssh.facts import ENTRANCE
from portcullis.components.ssh.on_host.ssh_steps import with_ports
from portcullis.components.ssh.render import sshd
from portcullis.components.users.resource.user import User
from portcullis.dialect import DIALECTS
from portcullis.host import Host
from tests.config.test_settings import KEY
from tests.previews import unknown_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.recording_engine import Deploy


HOST = Host("web1", os="debian-13")


def access(args: SshArgs | None = None, *, host: Host = HOST, **more: Any) -> Callable[[], object]:
    return lambda: SshAccess("web1-ssh", args or SshArgs(), host=host, **more)


def test_by_default_root_logs_in_with_a_key_on_port_22(deploy: Deploy) -> None:
    engine = deploy(access())
    assert engine.one(":Packages").inputs["packages"] == dict.fromkeys(["openssh-server", "ufw"], "installed")
    server = engine.one(":SshServer").inputs
    assert (server["port"], server["login"], server["mode"]) == ("22", "root", "0600")
    assert server["firewall"] == {"22": "allow"}
    assert server["options"]["PermitRootLogin"] == "prohibit-password"
    assert server["options"]["PasswordAuthentication"] == "no"
    assert "\nPort 22\n" in server["content"]
    assert "resource web1-ssh-server." in server["content"]
    assert not engine.of(":User")


def test_root_login_ends_after_the_users_that_log_in_instead_exist(deploy: Deploy) -> None:
    def program() -> None:
        user = User("deploy", host="web1", user="deploy", keys={"ci": KEY}, sudo=True)
        opts = pulumi.ResourceOptions(depends_on=[user])
        host = Host("web1", adopt=True)
        access(SshArgs(root_login="no"), host=host, login="deploy", port=2222, opts=opts)()

    engine = deploy(program)
    assert engine.before("web1-ssh-server") >= {"deploy", "web1-ssh-packages"}
    server = engine.one(":SshServer").inputs
    assert server["options"]["PermitRootLogin"] == "no"
    assert "Match User deploy\n    MaxSessions 64\n" in server["content"]
    assert server["adopt"] is True
    assert engine.one(":Packages").inputs["adopt"] is True


def test_the_text_has_every_declared_option(deploy: Deploy) -> None:
    inputs = (
        deploy(access(SshArgs(options={"MaxSessions": "20"}), exempt=["203.0.113.7"]))
        .one(":SshServer")
        .inputs
    )
    for name, value in inputs["options"].items():
        for part in value.split() if name == "HostKey" else [value]:
            assert f"\n{name} {part}\n" in inputs["content"]
    assert inputs["options"]["PerSourcePenaltyExemptList"] == "203.0.113.7"
    assert inputs["options"]["MaxSessions"] == "20"


def test_keys_come_from_the_users_files_only(deploy: Deploy) -> None:
    """The drop-in sets the options explicitly, and repeats them after all Match blocks."""
    inputs = deploy(access()).one(":SshServer").inputs
    _, _, again = inputs["content"].partition("\nMatch all\n")
    for name, value in {
        "AuthorizedKeysFile": ".ssh/authorized_keys .ssh/authorized_keys2",
        "AuthorizedKeysCommand": "none",
        "TrustedUserCAKeys": "none",
    }.items():
        assert inputs["options"][name] == value
        assert f"    {name} {value}\n" in again
        assert name in ENTRANCE
    other = {"AuthorizedKeysCommand": "/usr/bin/keys %u", "AuthorizedKeysCommandUser": "nobody"}
    content = deploy(access(SshArgs(options=other))).one(":SshServer").inputs["content"]
    assert content.count("AuthorizedKeysCommand /usr/bin/keys %u\n") == 2
    assert "AuthorizedKeysCommand none" not in content


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"root_login": "yes"}, "SshArgs.root_login"),
        ({"options": {"Permitrootlogin": "yes"}}, "SshArgs.options.Permitrootlogin: cannot be set here"),
        ({"options": {"PasswordAuthentication": "yes"}}, "allows a login without a key: attackers guess"),
        (
            {"options": {"AuthenticationMethods": "password"}},
            "has an alternative that allows a login without a key",
        ),
        ({"options": {"Max Sessions": "1"}}, "SshArgs.options.Max Sessions"),
    ],
)
def test_faults_of_the_settings(args: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the test is about the text
        SshArgs(**args)
    assert said in str(caught.value)


def test_all_invalid_arguments_are_reported_at_once(deploy: Deploy) -> None:
    with pytest.raises(ValueError, match="refuses root, but the login is root") as caught:
        deploy(access(SshArgs(root_login="no"), port=0, exempt=("nowhere",), tunnels={"alice": ()}))
    assert [fault.path for fault in caught.value.faults] == [  # type: ignore[attr-defined]
        "SshAccess.port", "SshAccess.exempt[0]", "SshAccess.tunnels.alice", "SshArgs.root_login",
    ]  # fmt: skip


def test_options_may_restrict_logins_further() -> None:
    for options in ({"AuthenticationMethods": "publickey,publickey"}, {"PubkeyAuthentication": "no"}):
        SshArgs(options=options)


def test_the_value_of_an_option_stays_on_its_line() -> None:
    options = {"Banner": "none\nPermitRootLogin yes"}
    with pytest.raises(ValueError, match="is not a value of sshd_config"):
        SshArgs(options=options)
    with pytest.raises(ValueError, match="cannot be a value in sshd_config"):
        sshd.drop_in("web1-ssh-server", sshd.SshdOptions(more=options), DIALECTS["debian-13"])


def test_a_preview_knows_every_value() -> None:
    assert unknown_in(access(SshArgs(options={"MaxSessions": "20"}))) == set()


def test_a_port_line_without_a_port_gets_the_kept_ports() -> None:
    assert with_ports("Port \nX y\n", ["22"]).splitlines()[1].startswith("Port 22 ")
