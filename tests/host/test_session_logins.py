"""The logins of a session: users, ports, retries, and the errors."""

from __future__ import annotations

import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.host import session as session_module
from portcullis.host.agent_process import AgentProcess
from portcullis.host.connections import Connection, write_ssh_config
from portcullis.host.errors import (
    AgentRefused,
    ConnectionFailed,
    HostError,
    LoginRefused,
    PythonMissing,
    TimedOut,
    Unreachable,
)
from portcullis.host.session import Login, Session, declared_login, refusal, who
from tests.canned import KEY, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SAYS_HOW = """
argv = sys.argv[1:]
with open({log!r}, "a") as file:
    file.write(" ".join(word for word in argv if word in ("-4", "-6")) + ";")
{before}
print("have", flush=True)
for line in sys.stdin:
    message = json.loads(line)
    assert message["op"] in ("hello", "confirm", "x")
    result = {{"asked": message["op"], "by": [word for word in argv if word in ("-4", "-6")], "os": "x"}}
    print(json.dumps({{"id": message["id"], "ok": True, "result": result}}), flush=True)
"""


def named(session: Session, name: str = "host.example.com", **more: Any) -> Session:
    """Use a host name instead of an address."""
    connection = Connection(name, host_key=KEY, **more)
    write_ssh_config({"web1": connection}, stack="lab", project=session._project)
    return session


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every name resolve to an address of each family."""
    found = [(family, socket.SOCK_STREAM, 6, "", ("", 0)) for family in (socket.AF_INET, socket.AF_INET6)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)


@pytest.mark.parametrize(
    ("before", "families"),
    [
        ("", [("-4",), ("-6",)]),
        ('if "-6" in argv: sys.exit("ssh: connect to host x port 22: Network is unreachable")', [("-4",)]),
        ('if "-4" in argv: sys.exit("ssh: connect to host x port 22: Network is unreachable")', [("-6",)]),
        ('if "-4" in argv or "-6" in argv: sys.exit("ssh: connect to host x port 22: no")', [()]),
    ],
)
@pytest.mark.usefixtures("both")
def test_a_fresh_login_must_work_over_every_family_that_worked_before(
    fake_ssh: Callable[..., Session], tmp_path: Path, before: str, families: list[tuple[str, ...]]
) -> None:
    log = tmp_path / "log"
    session = named(fake_ssh(SAYS_HOW.format(log=str(log), before=before)))
    assert session.families_in_use() == families
    assert log.read_text() == "-4;-6;"
    assert session.families_in_use() == families
    assert log.read_text() == "-4;-6;", "checked once, before the first change"
    assert session.log_in_again("confirm", Login(), guard="1") == {
        "asked": "confirm", "by": list(families[-1]), "os": "x",
    }  # fmt: skip
    used = [" ".join(family) for family in families]
    assert log.read_text() == "".join(f"{family};" for family in ["-4", "-6", *used])
    session.close()


@pytest.mark.usefixtures("both")
def test_a_failed_login_over_one_family_is_a_failed_login(
    fake_ssh: Callable[..., Session], tmp_path: Path
) -> None:
    closed = tmp_path / "closed"
    before = (
        f'if "-4" in argv and os.path.exists({str(closed)!r}): sys.exit("Permission denied (publickey).")'
    )
    session = named(fake_ssh(SAYS_HOW.format(log=str(tmp_path / "log"), before=before)))
    session.families_in_use()
    closed.touch()
    with pytest.raises(LoginRefused):
        session.log_in_again("confirm", Login())


def test_an_address_has_one_family_without_a_check(fake_ssh: Callable[..., Session], tmp_path: Path) -> None:
    session = fake_ssh(SAYS_HOW.format(log=str(tmp_path / "log"), before=""))
    assert session.families_in_use() == [()]
    assert not (tmp_path / "log").exists()


def test_a_silent_fresh_login_times_out(
    fake_ssh: Callable[..., Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "_LOGIN_TIMEOUT", 0.3)
    ready = AgentProcess.wait_ready  # the start of the stand-in may take its time
    monkeypatch.setattr(AgentProcess, "wait_ready", lambda self, _: ready(self, 120))
    session = fake_ssh('print("have", flush=True)\nsys.stdin.read()')
    with pytest.raises(TimedOut, match="a fresh login to the host gave no answer"):
        session.log_in_again("confirm", Login())


def test_a_read_is_sent_at_most_twice(fake_ssh: Callable[..., Session], tmp_path: Path) -> None:
    log = tmp_path / "log"
    session = fake_ssh(f"""
        print("have", flush=True)
        sys.stdin.readline()
        open({str(log)!r}, "a").write("x")
        sys.exit(255)
        """)
    with pytest.raises(ConnectionFailed):
        session.request("x")
    assert log.read_text() == "xx"
    assert session.requests == 2


def test_an_unreachable_host_is_tried_again_after_a_minute(
    fake_ssh: Callable[..., Session], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    session = fake_ssh(f"""
        open({str(log)!r}, "a").write("x")
        sys.exit("ssh: connect to host 192.0.2.1 port 22: Connection timed out")
        """)
    for holds, tries in ((60.0, "x"), (60.0, "x"), (0.0, "xx")):
        monkeypatch.setattr(session_module, "_REFUSAL_HOLDS", holds)
        with pytest.raises(Unreachable):
            session.request("x")
        assert log.read_text() == tries


def test_the_error_of_a_failed_python_installation_has_the_last_lines_of_apt(
    fake_ssh: Callable[..., Session], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    session = fake_ssh(f"""
        if "apt-get" in sys.argv[-1]:
            open({str(log)!r}, "a").write(" ".join(sys.argv[1:5]) + ";")
            print(*range(20), sep="\\n")
            print("E: no network", file=sys.stderr)
            sys.exit(100)
        print("no-python", flush=True)
        """)
    with pytest.raises(PythonMissing, match="apt could not install it") as caught:
        session.request("x", write=True)
    assert str(caught.value).splitlines()[1:-1] == [
        *(f"    {number}" for number in range(11, 20)), "    E: no network",
    ]  # fmt: skip
    assert log.read_text() == f"-F {session._config} -T web1;"


def test_python_is_installed_only_once(fake_ssh: Callable[..., Session], tmp_path: Path) -> None:
    log = tmp_path / "log"
    session = fake_ssh(f"""
        if "apt-get" in sys.argv[-1]:
            open({str(log)!r}, "a").write("x")
            sys.exit(0)
        print("no-python", flush=True)
        """)
    with pytest.raises(PythonMissing):
        session.request("x", write=True)
    assert log.read_text() == "x"
    assert session.connections == 2


def test_without_a_declared_system_there_is_no_check(
    fake_ssh: Callable[..., Session], tmp_path: Path
) -> None:
    session = fake_ssh(SAYS_HOW.format(log=str(tmp_path / "log"), before=""))
    assert session.request("x", write=True)["asked"] == "x"
    assert session.requests == 1
    session.close()


def test_a_host_that_the_settings_do_not_declare(fake_ssh: Callable[..., Session]) -> None:
    project = fake_ssh("")._project
    other = Session("web2", "lab", project=project)
    with pytest.raises(ConnectionFailed, match="the settings declare no host with the alias"):
        other.request("x")
    assert other.connections == 0


def test_a_write_without_ssh_config_names_the_command_that_writes_it(tmp_path: Path) -> None:
    with pytest.raises(ConnectionFailed, match="run `portcullis preview` once"):
        Session("web1", "lab", project=tmp_path).request("put", write=True)


def test_if_both_logins_fail_the_error_is_that_of_the_declared_one(fake_ssh: Callable[..., Session]) -> None:
    session = fake_ssh(
        """
        refused = "web1-bootstrap" in sys.argv
        sys.exit("Permission denied (publickey)." if refused else "ssh: connect to host a port 22: No route")
        """,
        bootstrap_user="root",
    )
    with pytest.raises(Unreachable, match="No route"):
        session.request("x")
    assert session.connections == 2


def test_the_next_run_uses_the_port_of_the_last_login(fake_ssh: Callable[..., Session]) -> None:
    session = fake_ssh("")
    config = session._project / session._config
    assert "    Port 22\n" in config.read_text()
    session.reached(2222)
    assert "    Port 2222\n" in config.read_text()
    assert '"web1": 2222' in "".join(path.read_text() for path in config.parent.glob("*.json"))


def test_the_name_of_the_deploying_process(monkeypatch: pytest.MonkeyPatch) -> None:
    place = f"@{os.uname().nodename} (pid {os.getpid()})"
    monkeypatch.delenv("GITHUB_ACTOR", raising=False)
    monkeypatch.setattr(session_module.getpass, "getuser", lambda: "alice")
    assert who() == f"alice{place}"
    monkeypatch.setenv("GITHUB_ACTOR", "octocat")
    assert who() == f"octocat{place}"
    monkeypatch.delenv("GITHUB_ACTOR")
    for error in (KeyError, OSError):

        def fail(error: type[Exception] = error) -> str:
            raise error

        monkeypatch.setattr(session_module.getpass, "getuser", fail)
        assert who() == f"{os.getuid()}{place}"


def test_the_user_that_is_declared(
    fake_ssh: Callable[..., Session], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert declared_login("web1", "lab") == ""
    fake_ssh("", user="deploy")
    assert declared_login("web1", "lab") == "deploy"


def test_an_incomplete_error_of_the_agent_is_still_an_error() -> None:
    for said in (None, "text", {}):
        error = refusal(said)
        assert isinstance(error, AgentRefused)
        assert error.code == "internal"
        assert str(error) == "the agent failed"


def test_the_end_of_a_process_waits_for_every_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "_sessions", {})
    ended: list[str] = []

    def close(session: Session) -> None:
        time.sleep(0.1)
        ended.append(session.host)

    monkeypatch.setattr(Session, "close", close)
    for name in ("a", "b"):
        session_module.session(name, "lab")
    session_module.close_sessions()
    assert sorted(ended) == ["a", "b"]


def test_the_end_of_a_process_ends_its_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "_sessions", {})
    sessions = [session_module.session(name, "lab") for name in ("a", "b")]
    session_module.close_sessions()
    for one in sessions:
        with pytest.raises(ConnectionFailed, match=r"is missing|has been cancelled"):
            one.request("x")
        assert one._closed


ALIAS = """
argv = sys.argv[1:]
alias = next(word for word in argv if word.startswith("web1"))
{before}
print("have", flush=True)
for line in sys.stdin:
    message = json.loads(line)
    result = {{"alias": alias, "port": [word for word in argv if word.startswith("Port=")]}}
    print(json.dumps({{"id": message["id"], "ok": True, "result": result}}), flush=True)
"""


def test_after_the_declared_login_worked_all_later_logins_use_it(
    fake_ssh: Callable[..., Session], tmp_path: Path
) -> None:
    marker = tmp_path / "deploy-exists"
    refuse = f'if alias == "web1" and not os.path.exists({str(marker)!r}): sys.exit("Permission denied (x).")'
    session = fake_ssh(ALIAS.format(before=refuse), user="deploy", bootstrap_user="root")
    assert session.request("x")["alias"] == "web1-bootstrap"
    assert session._first_contact.exists()
    marker.touch()
    assert session.log_in_again("confirm", Login())["alias"] == "web1-bootstrap"
    assert session._first_contact.exists()
    assert session.log_in_again("confirm", Login(declared=True)) == {"alias": "web1", "port": []}
    assert not session._first_contact.exists()
    assert session.log_in_again("confirm", Login())["alias"] == "web1"
    session.close()


def test_a_login_on_a_port_tries_no_other_port(fake_ssh: Callable[..., Session]) -> None:
    session = fake_ssh(ALIAS.format(before=""), port=2222)
    answer = session.log_in_again("confirm", Login(port=2222))
    assert answer == {"alias": "web1-declared", "port": ["Port=2222"]}
    assert session.log_in_again("confirm", Login(declared=True)) == {"alias": "web1", "port": []}
    session.close()


def test_an_operating_system_that_is_no_text_is_refused(fake_ssh: Callable[..., Session]) -> None:
    session = fake_ssh(
        """
        print("have", flush=True)
        for line in sys.stdin:
            print(json.dumps({"id": json.loads(line)["id"], "ok": True, "result": {"os": ["x"]}}), flush=True)
        """,
        os="debian-13",
    )
    with pytest.raises(HostError, match="has the wrong form"):
        session.request("put", write=True)
    session.close()


SLOW = """
print("have", flush=True)
for line in sys.stdin:
    message = json.loads(line)
    if message["op"] == "slow":
        open({begun!r}, "w").close()
        until({go!r})
    if message["op"] != "never":
        print(json.dumps({{"id": message["id"], "ok": True, "result": {{"op": message["op"]}}}}), flush=True)
"""


def test_a_session_ends_after_a_time_limit_only_if_no_other_request_waits(
    fake_ssh: Callable[..., Session], tmp_path: Path
) -> None:
    begun, go = tmp_path / "begun", tmp_path / "go"
    session = fake_ssh(SLOW.format(begun=str(begun), go=str(go)))
    found: list[Any] = []
    other = threading.Thread(target=lambda: found.append(session.request("slow", timeout=120)))
    other.start()
    until(begun.exists)
    with pytest.raises(TimedOut):
        session.request("never", timeout=0.2)
    go.touch()
    other.join(120)
    assert found == [{"op": "slow"}]
    session.request("x")
    assert session.connections == 1
    with pytest.raises(TimedOut):
        session.request("never", timeout=0.2)
    session.request("x")
    assert session.connections == 2
    session.close()
