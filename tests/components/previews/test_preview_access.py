"""Tests the account of the preview key, the commands that it may run, and logins with the key."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.components import (
    PreviewAccess,
    PreviewArgs,
    PreviewKey,
    PreviewLogin,
    SshAccess,
    SshArgs,
    Users,
    UsersArgs,
    connections,
)
from portcullis.components.host.stack import load
from portcullis.components.previews import render as preview
from portcullis.components.users.on_host import authorized_keys, sudoers
from portcullis.host import Host
from tests.components.host.test_program import program, project
from tests.config.test_settings import KEY, faults, smallest
from tests.previews import unknown_in
from tests.recording_engine import declare

if TYPE_CHECKING:
    from pathlib import Path

    from tests.recording_engine import Deploy

__all__ = ["project"]


def shown(**more: Any) -> dict[str, Any]:
    config = smallest()
    config["hosts"]["web1"]["preview"] = more
    return config


def test_the_account_runs_one_program_and_comes_last(deploy: Deploy) -> None:
    args = PreviewArgs(from_=["203.0.113.7", "2001:db8::/32"])
    engine = deploy(lambda: PreviewAccess("web1-preview", args, host=Host("web1"), key=KEY))
    user = engine.one(":User").inputs
    assert (user["user"], user["shell"], user["sudo"], user["groups"]) == (
        "portcullis-preview",
        "/bin/sh",
        False,
        {},
    )
    assert (user["system"], user["on_delete"], user["sessions"]) == (True, "remove", "current")
    found = authorized_keys.parse(user["keys"]["preview"])
    assert found
    assert found.options == (
        'restrict,from="203.0.113.7,2001:db8::/32",command="/usr/local/lib/portcullis/preview"'
    )
    files = {file.inputs["path"]: file.inputs for file in engine.of(":File")}
    assert set(files) == {preview.COMMAND, preview.AS_ROOT, preview.SUDOERS}
    assert {path: file["mode"] for path, file in files.items()} == {
        preview.COMMAND: "0755", preview.AS_ROOT: "0755", preview.SUDOERS: "0440",
    }  # fmt: skip
    assert {(file["owner"], file["group"]) for file in files.values()} == {("root", "root")}
    assert engine.before("web1-preview-account") >= {
        "web1-preview-command", "web1-preview-as-root", "web1-preview-sudoers",
    }  # fmt: skip


def test_sudo_allows_exactly_two_command_lines() -> None:
    (line,) = sudoers.lines(preview.sudoers("web1-preview-sudoers"))
    assert line == (
        "portcullis-preview ALL=(root) NOPASSWD: /usr/local/lib/portcullis/preview-as-root agent, "
        "/usr/local/lib/portcullis/preview-as-root docker"
    )
    # sudoers(5): sudo ignores files with a dot in their name, or with ~ at the end.
    assert "." not in preview.SUDOERS.rpartition("/")[2]
    assert not preview.SUDOERS.rpartition("/")[2].startswith(sudoers.PREFIX)


def test_a_host_declares_the_preview_account_after_ssh_server_and_users(deploy: Deploy) -> None:
    engine = program(deploy, shown())
    assert engine.before("web1-preview-account") >= {"web1-ssh-server", "web1-users-administrators"}
    assert engine.one(":Administrators").inputs["files"] == {preview.SUDOERS: "declared"}
    server = engine.one(":SshServer").inputs
    assert server["users"]["portcullis-preview"] == preview.effective()
    assert "Match User portcullis-preview\n" in server["content"]


def test_without_preview_no_resource_mentions_it(deploy: Deploy) -> None:
    engine = program(deploy, smallest())
    assert not [one.name for one in engine.declared if "preview" in one.name]
    assert preview.ACCOUNT not in engine.one(":SshServer").inputs["content"]
    assert not engine.one(":Administrators").inputs["files"]


def test_one_key_serves_every_host() -> None:
    config = shown()
    config["hosts"]["web2"] = {**config["hosts"]["web1"], "address": "203.0.113.11"}
    config["apps"]["api"]["host"] = "web1"
    engine = program(lambda run, **more: declare(run, preview=False, **more), config)
    assert len(engine.of("tls:index/privateKey:PrivateKey")) == 1
    keys = [user.inputs["keys"] for user in engine.of(":User") if user.inputs["user"] == preview.ACCOUNT]
    assert len(keys) == 2
    assert keys[0] == keys[1]


def test_a_preview_key_has_a_private_key(deploy: Deploy) -> None:
    made: list[PreviewKey] = []
    deploy(lambda: made.append(PreviewKey("preview")))
    assert made[0].private_key


def test_with_the_preview_key_only_the_ssh_configuration_changes(
    project: Path, monkeypatch: pytest.MonkeyPatch, deploy: Deploy
) -> None:
    def inputs() -> str:
        found = [(one.name, one.inputs) for one in program(deploy, shown()).declared]
        return json.dumps(sorted(found, key=str), default=lambda _: "known later")

    before = inputs()
    monkeypatch.setenv("PORTCULLIS_ACCESS", "preview")
    monkeypatch.setenv("PORTCULLIS_PREVIEW_KEY_FILE", "/keys/preview")
    assert inputs() == before
    text = (project / ".portcullis/test/ssh_config").read_text()
    assert "User portcullis-preview" in text
    assert 'IdentityFile "/keys/preview"' in text


def test_a_jump_host_keeps_its_own_login() -> None:
    config = shown()
    config["hosts"]["web1"]["jump"] = {"address": "192.0.2.9", "user": "hop", "hostKey": KEY}
    config["hosts"]["web1"]["bootstrap"] = {}
    found = connections(load(config).hosts, PreviewLogin("/keys/preview"))
    assert (found["web1"].user, found["web1"].looks_for) == ("portcullis-preview", "root")
    assert found["web1"].bootstrap_user is None
    assert (found["web1-jump"].user, found["web1-jump"].looks_for) == ("hop", None)
    assert found["web1-jump"].identity_file is None


@pytest.mark.parametrize("value", [[], None])
def test_an_empty_list_of_addresses_is_a_fault(value: Any) -> None:
    (fault,) = faults(shown(**{"from": value}))
    assert fault.startswith("portcullis:hosts.web1.preview.from: names no address")


def test_the_account_can_neither_be_a_user_nor_deploy() -> None:
    config = smallest()
    config["hosts"]["web1"] |= {
        "user": preview.ACCOUNT,
        "users": {preview.ACCOUNT: {"keys": {"a": KEY}, "sudo": True}},
    }
    assert any("the account of the preview key" in fault for fault in faults(config))
    with pytest.raises(ValueError, match="may only preview, not deploy"):
        SshAccess("web1-ssh", SshArgs(), host=Host("web1"), login=preview.ACCOUNT)


def test_the_environment_chooses_the_preview_login() -> None:
    read = PreviewLogin.from_environment
    assert read({}) is read({"PORTCULLIS_ACCESS": "deploy", "PORTCULLIS_PREVIEW_KEY_FILE": "/a"}) is None
    assert read({"PORTCULLIS_ACCESS": "preview"}) == PreviewLogin(None)
    assert read({"PORTCULLIS_ACCESS": "preview", "PORTCULLIS_PREVIEW_KEY_FILE": "/a"}) == PreviewLogin("/a")
    with pytest.raises(
        ValueError, match="PORTCULLIS_ACCESS has the value 'prewiew'; write preview or deploy"
    ):
        read({"PORTCULLIS_ACCESS": "prewiew"})


def test_an_option_of_sshd_that_refuses_the_account_is_a_fault(deploy: Deploy) -> None:
    def declared(users: str) -> None:
        SshAccess("web1-ssh", SshArgs(options={"AllowUsers": users}), host=Host("web1"), preview=True)

    with pytest.raises(ValueError, match="refuses portcullis-preview, which is declared to preview"):
        deploy(lambda: declared("deploy"))
    deploy(lambda: declared("deploy portcullis-preview"))


def test_the_sudo_file_counts_as_declared(deploy: Deploy) -> None:
    engine = deploy(lambda: Users("web1-users", UsersArgs(), host=Host("web1"), sudoers=(preview.SUDOERS,)))
    assert engine.one(":Administrators").inputs["files"] == {preview.SUDOERS: "declared"}


def test_an_invalid_stack_name_is_not_rendered() -> None:
    with pytest.raises(ValueError, match="is not in the form PROJECT/STACK"):
        preview.as_root("x", 'a/b"; import os')


@pytest.fixture
def command(tmp_path: Path) -> Path:
    """Return the forced command, with a fake sudo that prints its arguments."""
    tools = tmp_path / "bin"
    tools.mkdir()
    sudo = tools / "sudo"
    sudo.write_text('#!/bin/sh\necho "sudo $*"\n')
    program = tmp_path / "preview"
    program.write_text(
        preview.command("web1-preview-command").replace("PATH=/usr/sbin:", f"PATH={tools}:/usr/sbin:")
    )
    for path in (sudo, program):
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return program


def run(program: Path, asked: str | None, **env: str) -> subprocess.CompletedProcess[str]:
    shell = shutil.which("sh") or "/bin/sh"
    given = {**env, **({} if asked is None else {"SSH_ORIGINAL_COMMAND": asked})}
    return subprocess.run(
        [shell, program], env=given, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("portcullis-preview agent", f"sudo -n {preview.AS_ROOT} agent\nended\n"),
        ("docker system dial-stdio", f"sudo -n {preview.AS_ROOT} docker\n"),
    ],
)
def test_the_program_runs_two_commands(command: Path, asked: str, said: str) -> None:
    done = run(command, asked, IFS="x", LC_ALL="C")
    assert (done.returncode, done.stdout) == (0, said)


@pytest.mark.parametrize(
    "asked",
    [
        None, "", "id", "sh", "bash -i", "portcullis-preview agent; id", "portcullis-preview agent\nid",
        " portcullis-preview agent", "portcullis-preview agent ", "portcullis-preview  agent",
        "PORTCULLIS-PREVIEW AGENT", "portcullis-preview docker", "portcullis-preview *", "*", "?", "[a-z]*",
        "docker system dial-stdio; id", "docker system dial-stdio && id", "docker -H x system dial-stdio",
        "docker ps", "docker run -v /:/h a", "$(id)", "`id`", "scp -t /tmp", "/usr/lib/openssh/sftp-server",
        "rsync --server . /", "sudo -n id", f"sudo -n {preview.AS_ROOT} agent", preview.AS_ROOT,
        "python3 -c 'print(1)'", "exec sh -c 'id'", "cat /etc/passwd", "internal-sftp", "env", "-n",
        "a" * 100_000,
    ],
)  # fmt: skip
def test_every_other_command_is_refused_in_one_line(command: Path, asked: str | None) -> None:
    done = run(command, asked)
    assert (done.returncode, done.stdout) == (77, "")
    assert done.stderr.startswith(preview.REFUSED)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [[], ["shell"], ["agent", "x"], ["docker", "--help"], ["-c", "import os"]])
def test_the_program_for_root_accepts_one_of_two_words(tmp_path: Path, words: list[str]) -> None:
    program = tmp_path / "as-root"
    program.write_text(preview.as_root("web1-preview-as-root", "web/prod"))
    done = subprocess.run(
        ["python3", "-I", program, *words],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )
    assert done.returncode == 1
    assert done.stderr == "portcullis: the argument must be agent or docker\n"


def test_the_settings_restrict_the_addresses_of_the_key(deploy: Deploy) -> None:
    users = program(deploy, shown(**{"from": ["203.0.113.0/24"]})).of(":User")
    (keys,) = [user.inputs["keys"] for user in users if user.inputs["user"] == preview.ACCOUNT]
    assert "preview" in keys


def test_a_preview_knows_every_value_except_the_new_key() -> None:
    def program() -> None:
        key = PreviewKey("preview").public_key
        PreviewAccess("web1-preview", PreviewArgs(), host=Host("web1"), key=key)

    assert unknown_in(program) == {"web1-preview-account.keys.preview"}
