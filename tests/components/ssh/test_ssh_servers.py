from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.agent.errors import AgentError
from portcullis.agent.guarded import Peer
from portcullis.agent.step import WARN
from portcullis.agent.store import Store
from portcullis.components.ssh.facts import SshServerFacts, SshServerSpec
from portcullis.components.ssh.on_host import ssh_daemon, ssh_facts, ssh_rules
from portcullis.components.ssh.on_host.ssh_files import Files
from portcullis.components.ssh.on_host.ssh_servers import SshServers
from portcullis.components.ssh.on_host.sshd_config import Line
from tests.components.firewall.fake_ufw import FakeUfw
from tests.components.ssh.fake_ssh import FakeSsh
from tests.on_host import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from portcullis.agent.machine import Machine
    from portcullis.agent.run import Done

OPTIONS = {"PermitRootLogin": "prohibit-password", "PasswordAuthentication": "no", "MaxAuthTries": "3"}


def text(port: str = "22", options: dict[str, str] | None = None) -> str:
    given = OPTIONS if options is None else options
    lines = "".join(f"{name} {value}\n" for name, value in given.items())
    return f"# ours\nPort {port}\n{lines}Match User deploy\n    MaxSessions 64\n"


@dataclass
class Server:
    client: Client
    host: FakeSsh

    def desired(self, port: str = "22", **more: Any) -> dict[str, Any]:
        options = more.pop("options", OPTIONS)
        return {"content": text(port, options), "options": options, "port": port, "login": "deploy", **more}

    def put(self, port: str = "22", *, adopt: bool = False, **more: Any) -> dict[str, Any]:
        self.host.calls.clear()
        return self.client.on("put", "ssh.ssh_servers", "sshd", self.desired(port, **more), adopt=adopt)

    def refused(self, port: str = "22", *, adopt: bool = False, **more: Any) -> AgentError:
        return self.client.refused("put", "ssh.ssh_servers", "sshd", self.desired(port, **more), adopt=adopt)

    def remove(self, port: str = "22") -> str:
        done: str = self.client.on("remove", "ssh.ssh_servers", "sshd", self.desired(port))["done"]
        return done

    def facts_of(self, options: dict[str, str]) -> dict[str, str]:
        found: dict[str, str] = self.client.look("ssh.ssh_servers", "sshd", self.desired(options=options))[
            "options"
        ]
        return found

    def facts(self, port: str = "22") -> dict[str, Any]:
        return self.client.look("ssh.ssh_servers", "sshd", self.desired(port))


def found(kind: SshServers, spec: SshServerSpec) -> Any:
    (facts,) = kind.facts([(spec, None)])
    assert isinstance(facts, SshServerFacts)
    return facts


@pytest.fixture
def make_server(machine: Machine, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    clients = []

    def make(**traits: Any) -> Server:
        host = FakeSsh(tmp_path / "etc", **traits)
        there = dataclasses.replace(
            machine, run=host, ssh=host.etc / "ssh", ufw=host.etc / "ufw", ufw_shipped=host.ufw_shipped,
            sshd_run=host.run_folder,
        )  # fmt: skip
        clients.append(Client(there))
        return Server(clients[-1], host)

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    return make_server()


def test_only_root_may_read_the_drop_in_and_sshd_reads_it_before_other_files(server: Server) -> None:
    server.host.drop_in("50-cloud-init.conf").write_text("PasswordAuthentication yes\n")
    assert server.facts()["options"]["PasswordAuthentication"].endswith("50-cloud-init.conf:1)")
    facts = server.put()["facts"]
    assert facts["options"] == OPTIONS
    assert facts["port"] == "22"
    assert oct(server.host.drop_in().stat().st_mode)[-4:] == "0600"
    assert server.host.calls == ["reset-failed ssh.service", "reload-or-restart ssh.service"]
    assert server.put()["steps"] == []
    assert server.host.calls == []


def test_a_read_creates_no_file(server: Server, tmp_path: Path) -> None:
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    server.facts()
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before


def test_without_sshd_the_hint_names_the_package(make_server: Callable[..., Server]) -> None:
    server = make_server(installed=False)
    assert server.facts() == {"exists": False}
    assert "depend on Packages with openssh-server" in server.refused().hint


def test_an_sshd_that_hangs_is_an_error_and_not_absent(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(*_: Any) -> Done:
        raise AgentError("timeout", "sshd did not end within 30 s")

    monkeypatch.setattr(FakeSsh, "_sshd", hang)
    (found,) = server.client.ask(
        "survey",
        items=[{"kind": "ssh.ssh_servers", "id": "sshd", "spec": server.desired()}],
        index=False,
    )["items"]
    assert found["error"]["code"] == "timeout"
    assert server.refused().code == "timeout"


def test_a_failed_removal_leaves_every_file_unchanged(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.host.drop_in().write_text("# somebody's\nMaxAuthTries 5\n")
    server.host.drop_in("00-evil.conf").write_text("MaxAuthTries 9\n")
    server.put(adopt=True)
    files = [server.host.main, server.host.drop_in(), server.host.drop_in("00-evil.conf")]
    before = [file.read_text() for file in files]
    assert before[2] != "MaxAuthTries 9\n"
    answer = FakeSsh._sshd

    def hang_once_ours_is_gone(host: FakeSsh, words: list[str]) -> Done:
        if "MaxAuthTries 5" in host.drop_in().read_text():
            raise AgentError("timeout", "sshd did not end within 30 s")
        return answer(host, words)

    monkeypatch.setattr(FakeSsh, "_sshd", hang_once_ours_is_gone)
    server.host.calls.clear()
    assert server.client.refused("remove", "ssh.ssh_servers", "sshd", server.desired()).code == "timeout"
    assert [file.read_text() for file in files] == before
    assert server.host.calls == []
    assert server.facts()["options"] == OPTIONS


def test_after_the_package_is_removed_a_removal_removes_our_file(server: Server) -> None:
    server.put()
    server.host.installed = False
    assert server.remove() == "removed"
    assert not server.host.drop_in().exists()


def test_a_drop_in_of_another_owner_shows_the_owner_and_becomes_roots(server: Server) -> None:
    server.put()
    os.chown(server.host.drop_in(), 1, -1)
    assert server.facts()["mode"] == "0600, of daemon"
    server.host.drop_in().chmod(0o644)
    assert server.facts()["mode"] == "0644, of daemon"
    assert "mode" in [step["property"] for step in server.put()["steps"]]
    assert server.facts()["mode"] == "0600"


def test_a_removal_puts_lines_of_other_files_in_force_again(server: Server) -> None:
    theirs = server.host.drop_in("00-evil.conf")
    theirs.write_text("MaxAuthTries 9\n")
    server.put(adopt=True)
    assert theirs.read_text() != "MaxAuthTries 9\n"
    assert server.remove() == "removed"
    assert theirs.read_text() == "MaxAuthTries 9\n"
    assert not server.host.drop_in().exists()


def test_an_existing_drop_in_is_only_replaced_with_adopt(server: Server) -> None:
    server.host.drop_in().write_text("# somebody's\nMaxAuthTries 5\n")
    assert server.refused().code == "differs"
    server.put(adopt=True)
    assert server.remove() == "restored"
    assert server.host.drop_in().read_text() == "# somebody's\nMaxAuthTries 5\n"


@pytest.mark.parametrize(
    ("file", "place"),
    [("00-evil.conf", "00-evil.conf:2"), ("../sshd_config", "sshd_config:1")],
    ids=["an earlier drop-in", "a line above the Include"],
)
def test_the_first_line_wins_and_the_error_names_it(server: Server, file: str, place: str) -> None:
    server.put()
    path = server.host.drop_in(file).resolve()
    before = path.read_text() if path.exists() else "# mine\n"
    evil = "MaxAuthTries 9\n" + before if path.exists() else before + "MaxAuthTries 9\n"
    path.write_text(evil)
    server.host.reload()
    found = server.facts()
    assert found["options"] == {**OPTIONS, "MaxAuthTries": f"9 ({path.parent}/{place})"}
    error = server.refused()
    assert error.code == "differs"
    assert error.detail == f"{path.parent}/{place}: maxauthtries 9"
    assert path.read_text() == evil
    server.put(adopt=True)
    assert server.facts()["options"] == OPTIONS
    assert "#portcullis-off# MaxAuthTries 9\n" in path.read_text()
    path.write_text(path.read_text() + "# edited since\n")
    server.remove()
    assert path.read_text() == evil + "# edited since\n"


def test_without_the_include_line_sshd_does_not_read_our_file(server: Server) -> None:
    server.host.main.write_text("# old\nPasswordAuthentication yes\n")
    error = server.refused()
    assert "has no line `Include" in error.message
    assert not server.host.drop_in().exists()
    server.put(adopt=True)
    assert server.host.main.read_text().splitlines()[1:] == ["# old", "PasswordAuthentication yes"]
    server.remove()
    assert server.host.main.read_text() == "# old\nPasswordAuthentication yes\n"


@pytest.mark.parametrize("file", ["00-gone.conf", "10-portcullis.conf"])
def test_a_line_that_cannot_become_a_comment_is_an_error_and_changes_nothing(
    server: Server, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file of the line disappeared between two reads, or is our own file.

    A retry would never end.
    """
    before = server.host.main.read_text()
    line = Line(str(server.host.drop_in(file)), 1, "maxauthtries", ("9",))
    monkeypatch.setattr(SshServers, "_overriding_lines", lambda *_: [line])
    error = server.refused(adopt=True)
    assert (error.code, error.message) == (
        "not-converged",
        f"the file {line.file} changed during the deployment",
    )
    assert server.host.main.read_text() == before
    assert not server.host.drop_in().exists()


def test_a_match_block_for_one_user_in_an_earlier_file_is_a_difference(server: Server) -> None:
    evil = server.host.drop_in("00-evil.conf")
    evil.write_text("Match User mallory\n\tPasswordAuthentication yes\n\tX11Forwarding no\n")
    server.host.reload()
    shown = f"yes for Match User mallory ({evil}:2)"
    assert server.facts()["options"]["PasswordAuthentication"].startswith("yes")
    assert server.refused().code == "differs"
    server.put(adopt=True)
    assert server.facts()["options"] == OPTIONS
    assert "X11Forwarding no" in evil.read_text()
    evil.write_text("Match User mallory\n\tPasswordAuthentication yes\n")
    server.host.reload()
    assert server.facts()["options"]["PasswordAuthentication"] == shown


@pytest.mark.parametrize(
    "line", ["AuthorizedKeysCommand /tmp/keys", "AuthorizedKeysFile /tmp/%u", "TrustedUserCAKeys /tmp/ca"]
)
def test_another_source_of_keys_for_one_user_is_a_difference(server: Server, line: str) -> None:
    name = line.partition(" ")[0]
    options = {**OPTIONS, name: "none"}
    server.put(options=options)
    evil = server.host.drop_in("00-evil.conf")
    evil.write_text(f"Match User mallory\n\t{line}\n")
    facts = server.client.look("ssh.ssh_servers", "sshd", server.desired(options=options))
    assert facts["options"][name] == f"{line.partition(' ')[2]} for Match User mallory ({evil}:2)"


def test_a_match_block_for_root_shows_that_it_is_for_root(server: Server) -> None:
    server.put()
    server.host.drop_in("00-x.conf").write_text("Match User root\nMaxAuthTries 9\n")
    assert server.facts()["options"]["MaxAuthTries"].startswith("9 for root (")


def test_an_edited_line_of_our_file_shows_as_option_and_as_content(server: Server) -> None:
    server.put()
    path = server.host.drop_in()
    path.write_text(path.read_text().replace("MaxAuthTries 3", "MaxAuthTries 6"))
    path.chmod(0o644)
    found = server.facts()
    assert found["options"]["MaxAuthTries"].startswith("6")
    assert (found["mode"], found["stale"]) == ("0644", True)
    assert {step["property"] for step in server.put()["steps"]} >= {
        "content",
        "options.MaxAuthTries",
        "stale",
    }
    assert server.facts()["mode"] == "0600"


def test_a_running_sshd_that_has_not_read_its_files_is_stale(server: Server) -> None:
    server.put()
    path = server.host.drop_in()
    path.write_text(path.read_text())
    assert server.facts()["stale"] is True
    assert [step["property"] for step in server.put()["steps"]] == ["stale"]
    assert server.facts()["stale"] is False


def test_a_configuration_that_sshd_refuses_is_shown_and_repaired(server: Server) -> None:
    server.put()
    server.host.drop_in().write_text("Broken yes\n")
    assert "Bad configuration option" in server.facts()["broken"]
    server.put()
    assert server.facts()["broken"] == ""
    server.host.drop_in("99-theirs.conf").write_text("Broken yes\n")
    error = server.refused(options={**OPTIONS, "MaxAuthTries": "2"})
    assert (error.code, "99-theirs.conf:1" in error.detail) == ("test-failed", True)
    assert "MaxAuthTries 3" in server.host.drop_in().read_text()


def test_a_match_block_is_not_blamed_if_a_line_for_all_users_is_the_cause(server: Server) -> None:
    server.put()
    server.host.drop_in("00-evil.conf").write_text("MaxAuthTries 9\n")
    server.host.main.write_text(server.host.main.read_text() + "Match Group sftp\nMaxAuthTries 2\n")
    server.host.reload()
    assert "sshd_config:" not in server.refused().detail
    server.put(adopt=True)
    assert server.host.main.read_text().endswith("Match Group sftp\nMaxAuthTries 2\n")


def test_an_option_that_sshd_does_not_know_is_refused_before_any_write(server: Server) -> None:
    error = server.refused(options={"Broken": "yes"})
    assert (error.code, error.prop) == ("test-failed", "options")
    assert "the declared options:3" in error.detail
    assert not server.host.drop_in().exists()


def test_options_on_sshds_command_line_win_over_every_file_and_are_named(server: Server) -> None:
    server.put()
    (server.host.etc / "default").mkdir()
    (server.host.etc / "default/ssh").write_text("# Options\nSSHD_OPTS='-o MaxAuthTries=9'\n")
    assert server.facts()["options"]["MaxAuthTries"] == "9 (SSHD_OPTS in /etc/default/ssh)"
    assert "/etc/default/ssh" in server.refused().hint


def test_a_stopped_sshd_is_shown_and_started(server: Server) -> None:
    server.put()
    server.host.run_folder.rmdir()
    server.host.running, server.host.listening = False, set()
    found = server.facts()
    assert (found["broken"][:15], found["port"]) == ("sshd is stopped", "")
    server.put()
    assert server.facts()["options"] == OPTIONS
    assert server.host.listening == {"22"}


def test_a_file_is_recorded_before_its_lines_become_comments(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If somebody kills the agent right after the record, a removal still restores the lines."""
    evil = server.host.drop_in("00-evil.conf")
    evil.write_text("MaxAuthTries 9\n")
    rewrite, noted = Files.rewrite, []

    def look(files: Files, path: Path, text: str) -> None:
        record = Store(server.client.machine.state).load("ssh.ssh_servers", "sshd")
        assert record is not None
        noted.append(record.extra.get("edited"))
        rewrite(files, path, text)

    monkeypatch.setattr(Files, "rewrite", look)
    server.put(adopt=True)
    assert noted == [[str(evil)]]


def test_a_former_rule_is_recorded_before_sshd_changes_its_port(
    make_server: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_server(ufw=True)
    server.host._ufw(["limit", "proto", "tcp", "to", "any", "port", "22", "comment", "mine"])
    reload, noted = ssh_daemon.SshDaemon.reload, []

    def look(daemon: Any, ports: set[str], record: Any) -> None:
        kept = Store(server.client.machine.state).load("ssh.ssh_servers", "sshd")
        assert kept is not None
        noted.append(list(kept.extra["rules"]))
        reload(daemon, ports, record)

    monkeypatch.setattr(ssh_daemon.SshDaemon, "reload", look)
    server.put()
    assert noted == [["22"]]


def test_a_removal_opens_the_port_that_another_file_sets(make_server: Callable[..., Server]) -> None:
    server = make_server(ufw=True, passes=[])
    server.host.main.write_text(server.host.main.read_text() + "Port 2200\n")
    server.put("2222", adopt=True)
    (server.host.etc / "ufw/ufw.conf").write_text("ENABLED=yes\n")
    server.remove("2222")
    assert set(server.host.rules()["v4"]) == {"2200"}
    assert server.host.passes[0] == "tcp dport 2200 accept"


def test_a_failed_removal_is_an_error_if_sshd_is_installed(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.put()

    def odd(*_: object) -> None:
        raise AgentError("invalid", "it is odd")

    monkeypatch.setattr(ssh_facts, "checked", odd)
    assert server.client.refused("remove", "ssh.ssh_servers", "sshd", server.desired()).message == "it is odd"
    assert server.host.drop_in().exists()


def test_the_error_names_each_winning_line_on_a_separate_line(server: Server) -> None:
    evil = server.host.drop_in("00-evil.conf")
    evil.write_text("MaxAuthTries 9\nPasswordAuthentication yes\n")
    assert sorted(server.refused().detail.splitlines()) == [
        f"{evil}:1: maxauthtries 9", f"{evil}:2: passwordauthentication yes",
    ]  # fmt: skip


def test_the_facts_have_the_owner_and_the_ports_from_before(server: Server) -> None:
    def told() -> tuple[Any, ...]:
        facts = server.facts()
        return facts["owner"], facts["ports"], facts["ports_before"]

    assert told() == ("", ["22"], ["22"])
    server.put("2222")
    assert told() == (server.client.owner, ["2222"], ["22"])
    server.host.listening = {"22"}
    assert told() == (server.client.owner, ["22"], ["22"]), (
        "the ports on which it listens, not those in its files"
    )


def test_a_port_moves_in_two_steps(server: Server) -> None:
    server.put()
    both = server.put("2222", listen_also=["22"])["facts"]
    assert server.host.listening == {"22", "2222"}
    assert both["port"] == "22, 2222"
    server.put("2222")
    assert server.host.listening == {"2222"}
    assert server.facts("2222")["ports_before"] == ["22"]


def test_a_port_line_in_another_file_keeps_that_port_open(server: Server) -> None:
    server.host.main.write_text(server.host.main.read_text() + "Port 22\n")
    assert server.put()["facts"]["port"] == "22"
    error = server.refused("2222")
    assert error.detail == f"{server.host.main}:5: port 22"
    server.put("2222", adopt=True)
    assert server.host.listening == {"2222"}
    server.remove("2222")
    assert server.host.listening == {"22"}
    assert server.host.main.read_text().endswith("\nPort 22\n")


def test_a_listen_address_stays_in_force_unless_it_has_a_port(server: Server) -> None:
    text = server.host.main.read_text() + "ListenAddress 10.0.0.5\n"
    server.host.main.write_text(text + "ListenAddress 10.0.0.6:22\n")
    assert server.refused("2222").detail == f"{server.host.main}:6: listenaddress 10.0.0.6:22"
    server.put("2222", adopt=True)
    assert server.host.main.read_text() == text + "#portcullis-off# ListenAddress 10.0.0.6:22\n"


def test_values_that_a_refresh_left_in_the_state_are_not_the_declared_ones(server: Server) -> None:
    users = {"deploy": {"MaxSessions": "64"}}
    server.put(users=users)
    found = {
        **OPTIONS,
        "PasswordAuthentication": "yes for Match User eve (/etc/ssh/x.conf:2)",
    }
    desired = server.desired(options=found, users={"deploy": {"MaxSessions": "10 (/etc/x:1)"}})
    desired["content"] = text()
    facts = server.client.look("ssh.ssh_servers", "sshd", desired)
    assert facts["options"] == OPTIONS
    assert facts["users"] == users


def test_a_port_without_a_listener_shows(server: Server) -> None:
    server.put()
    server.host.listening = set()
    assert server.facts()["port"] == "22 (not listening)"
    server.host.listening = {"22", "2022"}
    assert server.facts()["port"] == "22, 2022 (until sshd reads its files)"
    server.put()
    assert server.host.listening == {"22"}


def test_a_reload_waits_until_sshd_has_executed_itself_again(server: Server) -> None:
    server.put()
    server.host.slow = 9
    server.put(options={**OPTIONS, "MaxAuthTries": "2"})
    assert server.host.slow == 0, "the old sshd could still have accepted a login"


def test_a_reload_ends_after_the_deadline_if_sshd_keeps_its_sockets(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh_daemon, "_LISTEN_LIMIT", 0.3)
    server.put()
    server.host.slow = 10_000
    server.put(options={**OPTIONS, "MaxAuthTries": "2"})
    assert 0 < server.host.slow < 10_000


def test_a_cgroup_named_like_a_socket_of_sshd_is_not_counted(server: Server) -> None:
    theirs = 'users:(("sh",pid=99,fd=3)) ino:7 sk:1 cgroup:/x",pid=88,fd=3)) ino:7 sk:2 <->'
    server.host.said_by_ss = (
        'LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:(("sshd",pid=88,fd=3)) ino:5 sk:1 cgroup:/ <->\n'
        f"LISTEN 0 128 0.0.0.0:2222 0.0.0.0:* {theirs}"
    )
    assert ssh_facts.sockets(server.client.machine) == {"5"}


def test_an_option_under_two_names_and_a_folder_that_is_included_twice(server: Server) -> None:
    options = {**OPTIONS, "KbdInteractiveAuthentication": "no", "ChallengeResponseAuthentication": "no"}
    server.put(options=options)
    server.host.main.write_text(
        f"Include {server.host.drop_in().parent}/*.conf\n" + server.host.main.read_text()
    )
    assert server.facts_of(options) == options


def test_a_port_that_another_program_has_is_refused_before_the_change(server: Server) -> None:
    server.host.others = {"2222": "nginx"}
    assert server.refused("2222").message == "nginx already listens on port 2222"


@pytest.mark.parametrize("name", ["sshd", '",pid=88,fd=3)', "systemd"])
def test_a_process_named_like_sshd_is_not_the_ssh_server(server: Server, name: str) -> None:
    server.put()
    server.host.others["2222"] = name
    assert server.facts()["port"] == "22"
    assert server.put()["steps"] == []
    server.put(options={**OPTIONS, "MaxAuthTries": "2"})
    assert "already listens on port 2222" in server.refused("2222").message


def test_a_listener_that_sshd_shares_with_a_new_connection_is_sshds(server: Server) -> None:
    shared = 'users:(("sshd",pid=88,fd=3),("sshd",pid=99,fd=3))'
    server.host.said_by_ss = f"LISTEN 0 128 0.0.0.0:22 0.0.0.0:* {shared}"
    assert server.facts()["port"] == "22"


def test_a_new_port_is_open_in_the_filter_before_sshd_listens_on_it(
    make_server: Callable[..., Server],
) -> None:
    server = make_server(passes=["tcp dport 22 accept"])
    server.put()
    assert server.host.passes == ["tcp dport 22 accept"]
    server.put("2222")
    assert server.host.calls[0] == "nft insert rule inet portcullis input tcp dport 2222 accept"
    # The next deployment of the filter removes the rule of the old port, because it declares only the new
    # port.
    assert server.host.passes == ["tcp dport 2222 accept", "tcp dport 22 accept"]
    server.host.passes = ["tcp dport 2222 accept"]
    server.remove("2222")
    assert "tcp dport 22 accept" in server.host.passes, "sshd goes back to this port"


def test_ufws_rule_is_added_before_the_port_moves_and_removed_after(
    make_server: Callable[..., Server],
) -> None:
    server = make_server(ufw=True)
    ours = ("allow", "portcullis ssh")
    server.put()
    assert server.host.rules() == {"v4": {"22": ours}, "v6": {"22": ours}}
    assert server.host.calls[0].startswith("ufw allow proto tcp to any port 22 comment")
    server.put("2222", listen_also=["22"])
    assert set(server.host.rules()["v6"]) == {"22", "2222"}
    server.put("2222")
    assert server.host.rules()["v4"] == {"2222": ours}
    assert server.host.calls[-1].startswith("ufw --force delete allow proto tcp to any port 22")
    server.remove("2222")
    assert server.host.rules() == {"v4": {}, "v6": {}}


def test_a_former_rule_comes_back_with_a_removal(make_server: Callable[..., Server]) -> None:
    server = make_server(ufw=True)
    server.host._ufw(["limit", "proto", "tcp", "to", "any", "port", "22", "comment", "mine"])
    server.put()
    assert server.host.rules()["v4"]["22"] == ("allow", "portcullis ssh")
    server.remove()
    assert server.host.rules()["v4"]["22"] == ("limit", "mine")


def test_an_enabled_ufw_keeps_the_restored_port_open(make_server: Callable[..., Server]) -> None:
    server = make_server(ufw=True)
    server.put("2222")
    (server.host.etc / "ufw/ufw.conf").write_text("ENABLED=yes\n")
    server.remove("2222")
    assert server.host.rules()["v4"] == {"22": ("allow", "portcullis ssh")}


def test_a_missing_rule_and_an_extra_rule_show(make_server: Callable[..., Server]) -> None:
    server = make_server(ufw=True)
    server.put()
    assert server.facts()["firewall"] == {"22": "allow"}
    server.host._ufw(["--force", "delete", "allow", "port", "22"])
    server.host._ufw(["allow", "port", "2022", "comment", "portcullis ssh"])
    assert server.facts()["firewall"] == {"2022": "allow"}
    server.put()
    assert server.host.rules()["v4"] == {"22": ("allow", "portcullis ssh")}
    server.host._ufw(["deny", "port", "22", "comment", "portcullis ssh"])
    assert server.facts()["firewall"] == {"22": "in part"}


def test_a_removed_ufw_that_left_its_files_is_not_installed(make_server: Callable[..., Server]) -> None:
    server = make_server(ufw=True)
    server.host.ufw_shipped.rmdir()
    assert "firewall" not in server.put()["facts"]
    assert server.host.rules()["v4"] == {}


def test_with_socket_activation_the_socket_unit_gets_the_port(make_server: Callable[..., Server]) -> None:
    server = make_server(socket=True)
    server.put("2222")
    assert server.host.calls == ["daemon-reload", "restart ssh.socket", "try-restart ssh.service"]
    assert server.host.listening == {"2222"}


def test_a_hand_written_socket_drop_in_is_refused(make_server: Callable[..., Server]) -> None:
    server = make_server(socket=True)
    folder = server.host.etc / "systemd/system/ssh.socket.d"
    folder.mkdir(parents=True)
    (folder / "port.conf").write_text("[Socket]\nListenStream=2222\n")
    assert "port.conf sets the ports of ssh.socket" in server.refused("2222").message


@pytest.mark.parametrize(
    ("options", "login", "prop"),
    [
        ({"PermitRootLogin": "no"}, "root", "options.PermitRootLogin"),
        ({"PermitRootLogin": "no"}, "deploy", None),
        ({"PubkeyAuthentication": "no"}, "deploy", "options.PubkeyAuthentication"),
        ({"AuthenticationMethods": "publickey,password"}, "deploy", "options.AuthenticationMethods"),
        ({"AuthenticationMethods": "publickey,password publickey"}, "deploy", None),
        ({"AllowUsers": "nosuchuser"}, "deploy", "options.AllowUsers"),
        ({"AllowUsers": "alice dep*@203.0.113.0/24"}, "deploy", None),
        ({"AllowUsers": "deploy@192.0.2.*"}, "deploy", "options.AllowUsers"),
        ({"DenyUsers": "d?ploy"}, "deploy", "options.DenyUsers"),
        ({"AllowGroups": "ssh"}, "root", "options.AllowGroups"),
        ({"AllowGroups": "ssh ro*"}, "root", None),
        ({"AllowGroups": "ssh"}, "somebody-else", None),
        ({"DenyGroups": "root"}, "root", "options.DenyGroups"),
        ({"MaxSessions": "0"}, "deploy", "options.MaxSessions"),
        ({"HostKey": "/etc/ssh/ssh_host_rsa_key"}, "deploy", "options.HostKey"),
        ({"HostKey": "/etc/ssh/ssh_host_ed25519_key"}, "deploy", None),
    ],
)
def test_a_change_that_would_refuse_the_login_of_the_deploy_is_refused(
    server: Server, options: dict[str, str], login: str, prop: str | None
) -> None:
    kind = SshServers(server.client.machine, Store(server.client.machine.state))
    desired = kind.as_desired(server.desired(options=options, login=login, pinned="ssh-ed25519"))
    groups = {"root": ["root"], "deploy": ["deploy", "sudo"]}
    facts = dataclasses.replace(found(kind, desired.spec()), groups=groups)
    error = kind.preflight(desired, facts, [], Peer.parse("203.0.113.7 4711 198.51.100.1 22"))
    assert (error.prop if error else None) == prop


def test_only_a_change_that_can_lock_somebody_out_is_guarded(server: Server) -> None:
    kind = SshServers(server.client.machine, Store(server.client.machine.state))
    server.put(options={**OPTIONS, "LogLevel": "INFO"})

    def guarded(**options: str) -> bool:
        desired = kind.as_desired(server.desired(options={**OPTIONS, "LogLevel": "INFO", **options}))
        facts = found(kind, desired.spec())
        steps = [step for step in kind.plan(desired, facts) if step.action != WARN]
        return kind.undo(desired, facts, steps) is not None

    assert not guarded(LogLevel="VERBOSE")
    assert guarded(MaxAuthTries="2")
    assert guarded(AllowUsers="deploy")


def test_the_undo_names_every_file_that_may_change(make_server: Callable[..., Server]) -> None:
    server = make_server(ufw=True)
    server.host.drop_in("00-evil.conf").write_text("MaxAuthTries 9\n")
    kind = SshServers(server.client.machine, Store(server.client.machine.state))
    desired = kind.as_desired(server.desired())
    facts = found(kind, desired.spec())
    undo = kind.undo(desired, facts, kind.plan(desired, facts))
    assert undo is not None
    names = {path.rpartition("/")[2] for path in undo.paths}
    assert names == {"sshd_config", "10-portcullis.conf", "00-evil.conf", "user.rules", "user6.rules"}
    *_, script = undo.commands[-1]
    assert "systemctl reload-or-restart ssh.service" in script
    assert "systemctl restart ssh.service" in script, "a server that was stopping would stay down"


def test_the_undo_reloads_ufw_only_if_the_kernel_had_its_rules(server: Server, tmp_path: Path) -> None:
    """If somebody flushed ufw, a reload could close the host, because ufw's files may allow no login."""
    ufw = FakeUfw(tmp_path).install()

    def both(argv: Sequence[str], **how: Any) -> Done:
        return (ufw if "ufw" in argv[0] or "tables" in argv[0] else server.host)(argv, **how)

    def reloads(peer: str = "203.0.113.7 50000 192.0.2.1 22") -> bool:
        machine = dataclasses.replace(
            server.client.machine, run=both, peer=Peer.parse(peer), ufw=ufw.etc, ufw_shipped=ufw.shipped,
            proc_sys=ufw.proc_sys,
        )  # fmt: skip
        kind = SshServers(machine, Store(machine.state))
        desired = kind.as_desired(server.desired())
        facts = found(kind, desired.spec())
        undo = kind.undo(desired, facts, kind.plan(desired, facts))
        assert undo is not None
        assert str(ufw.etc / "user.rules") in undo.paths
        return ("ufw", "reload") in undo.commands

    assert not reloads()  # ufw is off
    ufw.run("ufw enable")
    assert reloads()
    ufw.run("iptables -I INPUT -s 203.0.113.7/32 -j ACCEPT")
    assert not reloads()  # our connection uses this rule, and a reload would drop it
    ufw.run("ufw allow in proto tcp from any to any port 22")
    assert reloads()
    ufw.kernel["4"] = "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n"
    assert not reloads()
    (ufw.etc / "user.rules").write_text("### tuple ### nonsense\n")
    assert not reloads()


ALICE = {"PermitOpen": "172.17.0.1:6379", "MaxSessions": "0"}
TUNNELS = text() + "".join(
    [
        "Match User tunnel-alice\n    PermitOpen 172.17.0.1:6379\n",
        "Match User tunnel-*\n    PermitOpen none\n    MaxSessions 0\n",
    ]
)


def tunnels(**more: Any) -> dict[str, Any]:
    return {"content": TUNNELS, "users": {"tunnel-alice": ALICE}, **more}


def test_options_of_a_single_user_are_read_from_sshd_for_that_user(server: Server) -> None:
    facts = server.put(**tunnels())["facts"]
    assert facts["users"] == {"tunnel-alice": ALICE}
    assert facts["options"] == OPTIONS
    assert server.put(**tunnels())["steps"] == []
    assert server.put()["facts"]["users"] == {}, "and no longer when no option is declared for them"


@pytest.mark.parametrize(
    ("line", "value"), [("PermitOpen any", "any"), ("MaxSessions 10", "10"), ("maxsessions 64", "64")]
)
def test_a_match_block_for_such_a_user_is_named_and_becomes_a_comment_only_with_adopt(
    server: Server, line: str, value: str
) -> None:
    server.put(**tunnels())
    evil = server.host.drop_in("00-evil.conf")
    evil.write_text(f"Match User tunnel-alice\n  {line}\n")
    name = next(name for name in ALICE if name.lower() in line.lower())
    facts = server.client.look("ssh.ssh_servers", "sshd", server.desired(**tunnels()))
    assert facts["users"]["tunnel-alice"][name] == f"{value} ({evil}:2)"
    assert facts["options"] == OPTIONS, "the line is shown once"
    refused = server.refused(**tunnels())
    assert (refused.code, f"{evil}:2" in refused.detail) == ("differs", True)
    steps = server.put(**tunnels(), adopt=True)["steps"]
    assert [step["property"] for step in steps] == [f"users.tunnel-alice.{name}", "stale"]
    assert "#portcullis-off#" in evil.read_text()
    assert server.put(**tunnels())["steps"] == []


def test_an_added_tunnel_account_is_guarded(server: Server) -> None:
    server.put()
    servers = SshServers(server.client.machine, Store(server.client.machine.state))
    desired = servers.as_desired(server.desired(**tunnels()))
    facts = found(servers, desired.spec())
    assert facts.users == {"tunnel-alice": {"PermitOpen": "unset", "MaxSessions": "10"}}
    assert servers.undo(desired, facts, servers.plan(desired, facts)) is not None


def test_a_rule_with_half_a_comment_is_a_rule() -> None:
    """A comment in hexadecimal digits whose last digit somebody deleted."""
    found = ssh_rules.parse("### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in comment=77651\n")
    assert (found["22"].action, found["22"].comment) == ("allow", "we")
