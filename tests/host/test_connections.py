from __future__ import annotations

import json
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from portcullis.host.connections import (
    Connection,
    declared_hosts,
    declared_port,
    remember_port,
    render_ssh_config,
    set_port,
    ssh_config_path,
    write_ssh_config,
)

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO2q8YREHwHGm/XQKhkVbx8c7BWkBJUW+xFGrlQUqG8U"


@pytest.fixture(autouse=True)
def _short_sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def effective(config: Path, alias: str) -> dict[str, str]:
    done = subprocess.run(["ssh", "-G", "-F", config, alias], capture_output=True, text=True, check=True)
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


def test_openssh_reads_the_rendered_file(tmp_path: Path) -> None:
    folder = tmp_path / ".portcullis" / "lab"
    folder.mkdir(parents=True)
    remember_port(folder / "ssh_config", "web1", 2222)
    config = write_ssh_config(
        {"web1": Connection("2001:db8::1", "deploy", 2222, KEY, jump="gate", identity_file="~/.ssh/id")},
        stack="lab",
        project=tmp_path,
    )
    found = effective(config, "web1")
    assert found["hostname"] == "2001:db8::1"
    assert found["user"] == "deploy"
    assert found["port"] == "2222"
    assert found["hostkeyalias"] == "web1"
    assert found["stricthostkeychecking"] == "true"
    assert found["userknownhostsfile"] == str(tmp_path / ".portcullis" / "lab" / "known_hosts")
    assert found["proxyjump"] == "gate"
    assert found["identitiesonly"] == "yes"
    assert found["batchmode"] == "yes"
    assert (tmp_path / ".portcullis" / "lab" / "known_hosts").read_text() == f"web1 {KEY}\n"


def test_other_ports_are_tried_until_a_login_on_the_declared_port_worked(tmp_path: Path) -> None:
    declared = {"web1": Connection("192.0.2.1", "deploy", 2222, KEY, jump="gate")}
    config = write_ssh_config(declared, stack="lab", project=tmp_path)
    assert effective(config, "web1")["proxycommand"].endswith(f"--through {config} gate %h %p 22")
    strict = effective(config, "web1-declared")
    assert (strict["port"], strict["proxyjump"], strict["hostkeyalias"]) == ("2222", "gate", "web1")

    remember_port(config, "web1", 2200)  # an earlier change of the port, which was undone
    write_ssh_config(declared, stack="lab", project=tmp_path)
    assert effective(config, "web1")["proxycommand"].endswith("%h %p 2200 22")
    remember_port(config, "web1", 2222)
    write_ssh_config(declared, stack="lab", project=tmp_path)
    assert "proxycommand" not in effective(config, "web1")
    assert "web1-declared" not in config.read_text()


def test_a_changed_port_is_used_until_the_program_writes_the_file_again(tmp_path: Path) -> None:
    declared = {
        "web1": Connection("192.0.2.1", "deploy", 2222, KEY, bootstrap_user="root", bootstrap_port=22),
        "web2": Connection("192.0.2.2", "deploy", 2222, KEY),
    }
    config = write_ssh_config(declared, stack="lab", project=tmp_path)
    set_port(config, "web1", 2022)
    ports = {alias: effective(config, alias)["port"] for alias in ("web1", "web1-bootstrap", "web2")}
    assert ports == {"web1": "2022", "web1-bootstrap": "22", "web2": "2222"}


def test_bootstrap_login_is_an_alias_with_the_same_pin(tmp_path: Path) -> None:
    config = write_ssh_config(
        {"web1": Connection("192.0.2.1", "deploy", 2222, KEY, bootstrap_user="root", bootstrap_port=22)},
        stack="lab",
        project=tmp_path,
    )
    found = effective(config, "web1-bootstrap")
    assert (found["user"], found["port"], found["hostkeyalias"]) == ("root", "22", "web1")


def test_trust_on_first_use_needs_an_explicit_setting() -> None:
    with pytest.raises(ValueError, match="host_key: the host's public key is missing; write it"):
        Connection("192.0.2.1")
    text = render_ssh_config(
        {"web1": Connection("192.0.2.1", trust_first_use=True)}, folder=Path("/p"), sockets=Path("/s")
    )
    assert "StrictHostKeyChecking accept-new" in text
    assert "known_hosts.first-use" in text


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("address", "web1\nProxyCommand rm -rf /"),
        ("address", "-oProxyCommand=x"),
        ("address", "a b"),
        ("user", "root\nx"),
        ("jump", "a;b c"),
        ("identity_file", 'a"b'),
        ("host_key", "ssh-ed25519 AAAA comment"),
        ("port", 0),
        ("bootstrap_port", 70000),
    ],
)
def test_nothing_can_be_injected(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"^{field}: "):
        Connection(**{"address": "192.0.2.1", "host_key": KEY, field: value})  # type: ignore[arg-type]


def test_an_alias_must_be_one_word() -> None:
    for alias in ("a b", "*", "web1-bootstrap", ""):
        with pytest.raises(ValueError, match="host alias"):
            render_ssh_config({alias: Connection("a", host_key=KEY)}, folder=Path("/p"), sockets=Path("/s"))


def test_somebody_elses_socket_folder_is_refused(tmp_path: Path) -> None:
    write_ssh_config({}, stack="lab", project=tmp_path)
    (folder,) = tmp_path.glob("portcullis-*")
    folder.chmod(0o777)
    with pytest.raises(PermissionError, match="not your private folder"):
        write_ssh_config({}, stack="lab", project=tmp_path)


def test_a_socket_has_a_short_path_unique_to_its_project(tmp_path: Path) -> None:
    paths = set()
    for project in ("a", "b"):
        (tmp_path / project).mkdir()
        config = write_ssh_config(
            {"w" * 60: Connection("192.0.2.1", host_key=KEY)}, stack="lab", project=tmp_path / project
        )
        paths.add(effective(config, "w" * 60)["controlpath"])
    assert len(paths) == 2
    # sun_path has 108 bytes, and ssh adds 17 bytes while it creates the socket.
    assert all(len(Path(path).name) <= 16 for path in paths)


def test_two_stacks_never_share_a_connection(tmp_path: Path) -> None:
    for stack, address in (("lab", "192.0.2.1"), ("prod", "192.0.2.2")):
        write_ssh_config({"web1": Connection(address, host_key=KEY)}, stack=stack, project=tmp_path)
    found = [effective(tmp_path / ssh_config_path(stack), "web1") for stack in ("lab", "prod")]
    assert [one["hostname"] for one in found] == ["192.0.2.1", "192.0.2.2"]
    assert found[0]["controlpath"] != found[1]["controlpath"]


def test_ssh_tries_the_ports_in_their_order(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        declared = {"web1": Connection("127.0.0.1", "deploy", 1, KEY, bootstrap_port=port)}
        config = write_ssh_config(declared, stack="lab", project=tmp_path)
        ssh = subprocess.Popen(["ssh", "-F", config, "web1", "true"], stdin=subprocess.DEVNULL)
        server.settimeout(20)
        client, _ = server.accept()
        with client:
            assert client.recv(4) == b"SSH-"
        ssh.wait(20)


def test_jump_hosts_are_no_hosts_of_the_stack(tmp_path: Path) -> None:
    """Nobody logs in to a jump host to run an agent there."""
    jump = Connection("192.0.2.9", host_key=KEY)
    hosts = {
        "web1": Connection("192.0.2.1", port=2222, host_key=KEY, jump="gate"),
        "web2": Connection("192.0.2.2", host_key=KEY, jump="web2-jump"),
        "web3": Connection("192.0.2.3", host_key=KEY, jump="me@192.0.2.8:22"),
    }
    config = write_ssh_config({**hosts, "gate": jump, "web2-jump": jump}, stack="lab", project=tmp_path)
    assert declared_hosts(config.read_text()) == ["web1", "web2", "web3"]


def test_many_threads_remember_their_ports(tmp_path: Path) -> None:
    hosts = {f"web{n}": Connection(f"192.0.2.{n}", port=2222, host_key=KEY) for n in range(1, 33)}
    config = write_ssh_config(hosts, stack="lab", project=tmp_path)

    def move(alias: str) -> None:
        remember_port(config, alias, 2200)
        set_port(config, alias, 2200)

    with ThreadPoolExecutor(32) as threads:
        list(threads.map(move, hosts))
    assert json.loads(config.with_name("reached.json").read_text()) == dict.fromkeys(hosts, 2200)
    assert {declared_port(config.read_text(), alias) for alias in hosts} == {2200}
