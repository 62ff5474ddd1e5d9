from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.agent.redaction import AT_ONCE
from portcullis.host import agent_process, answers
from portcullis.host import session as session_module
from portcullis.host.bundle import agent_bundle
from portcullis.host.errors import (
    AgentRefused,
    ConnectionFailed,
    HostError,
    HostKeyRefused,
    LoginRefused,
    OtherSystem,
    PythonMissing,
    SudoRefused,
    TimedOut,
    Unreachable,
)
from portcullis.host.session import Login, Session
from portcullis.printable import MARK
from tests.canned import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HANG = 60  # seconds
ECHO = """
print("have", flush=True)
for line in sys.stdin:
    message = json.loads(line)
    print(json.dumps({"id": message["id"], "ok": True, "result": message}), flush=True)
"""


def test_a_request_is_answered(fake_ssh: Callable[..., Session]) -> None:
    session = fake_ssh(ECHO)
    assert session.request("x", stack="a/b")["stack"] == "a/b"
    session.close()


def test_four_threads_share_one_connection(fake_ssh: Callable[..., Session]) -> None:
    session = fake_ssh("""
        print("have", flush=True)
        held = [json.loads(sys.stdin.readline()) for _ in range(4)]
        for message in reversed(held):
            print(json.dumps({"id": message["id"], "ok": True, "result": {"n": message["n"]}}), flush=True)
        """)
    found: dict[int, Any] = {}

    def ask(n: int) -> None:
        found[n] = session.request("x", n=n)["n"]

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
    assert found == {n: n for n in range(4)}
    assert session.connections == 1
    session.close()


def test_the_time_limit_starts_when_the_agent_has_a_free_worker(
    fake_ssh: Callable[..., Session], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    session = fake_ssh(f"""
        print("have", flush=True)
        until({str(tmp_path / "go")!r})
        for line in sys.stdin:
            print(json.dumps({{"id": json.loads(line)["id"], "ok": True, "result": {{}}}}), flush=True)
        """)
    limits: list[float | None] = []
    post = agent_process.AgentProcess.post

    def watched(process: agent_process.AgentProcess, message: agent_process.Json) -> Future[Any]:
        answer = post(process, message)
        wait = answer.result

        def result(timeout: float | None = None) -> Any:
            limits.append(timeout)
            return wait()

        monkeypatch.setattr(answer, "result", result)
        return answer

    monkeypatch.setattr(agent_process.AgentProcess, "post", watched)
    with ThreadPoolExecutor(3 * AT_ONCE) as callers:
        asked = [callers.submit(session.request, "x", timeout=9) for _ in range(3 * AT_ONCE)]
        until(lambda: len(limits) >= AT_ONCE)
        time.sleep(0.2)  # a limit that started too early would show now
        started = len(limits)
        (tmp_path / "go").touch()
        for answer in asked:
            answer.result(HANG)
    assert started == AT_ONCE
    assert limits == [9] * len(asked), "each has its whole limit"
    session.close()


def test_a_closed_session_opens_no_new_connection(fake_ssh: Callable[..., Session]) -> None:
    session = fake_ssh(ECHO)
    session.request("x")
    session.close()
    with pytest.raises(ConnectionFailed, match="the deploy has been cancelled"):
        session.request("x")
    assert session.connections == 1


def test_an_idle_client_sends_signs_of_life(
    fake_ssh: Callable[..., Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_process, "LIVES", 0.1)
    session = fake_ssh("""
        print("have", flush=True)
        message = json.loads(sys.stdin.readline())
        said = [sys.stdin.readline() for _ in range(3)]
        print(json.dumps({"id": message["id"], "ok": True, "result": {"said": said}}), flush=True)
        """)
    assert session.request("x")["said"] == ["\n", "\n", "\n"]
    session.close()


def test_output_before_the_agents_first_word_is_skipped(fake_ssh: Callable[..., Session]) -> None:
    session = fake_ssh('print("Welcome to web1!")\n' + ECHO.strip())
    session.request("x")
    session.close()


def test_a_host_without_the_agent_gets_the_agent_and_answers_the_first_request(
    fake_ssh: Callable[..., Session],
) -> None:
    session = fake_ssh("""
        import hashlib
        print("need", flush=True)
        pending = []
        while True:
            line = sys.stdin.buffer.readline()
            if line.startswith(b"agent "):
                data = sys.stdin.buffer.read(int(line[6:]))
                break
            pending.append(line)
        for line in pending:
            number = json.loads(line)["id"]
            result = {"digest": hashlib.sha256(data).hexdigest()}
            print(json.dumps({"id": number, "ok": True, "result": result}), flush=True)
        """)
    assert session.request("x")["digest"] == agent_bundle().digest
    session.close()


def test_the_first_request_does_not_wait_for_the_host(fake_ssh: Callable[..., Session]) -> None:
    # The stand-in sends "have" only after the request, so a client that waits for "have" first would wait
    # forever.
    session = fake_ssh("""
        line = sys.stdin.readline()
        print("have", flush=True)
        print(json.dumps({"id": json.loads(line)["id"], "ok": True, "result": {}}), flush=True)
        sys.stdin.readline()
        """)
    assert session.request("x", timeout=20) == {}
    session.close()


@pytest.mark.parametrize(
    ("stderr", "kind", "text"),
    [
        ("ssh: connect to host 192.0.2.1 port 22: Connection refused", Unreachable, "Connection refused"),
        ("ssh: connect to host 192.0.2.1 port 22: Connection timed out", Unreachable, "timed out"),
        ("ssh: Could not resolve hostname nope: Name or service not known", Unreachable, "nope"),
        ("root@192.0.2.1: Permission denied (publickey).", LoginRefused, "publickey"),
        ("Host key verification failed.", HostKeyRefused, "than the pinned one"),
        ("sudo: a password is required", SudoRefused, "a password is required"),
        ("Something nobody knows", ConnectionFailed, "Something nobody knows"),
    ],
)
def test_each_refusal_of_ssh_has_its_error(
    fake_ssh: Callable[..., Session], stderr: str, kind: type[ConnectionFailed], text: str
) -> None:
    session = fake_ssh(f"print({stderr!r}, file=sys.stderr)\nsys.exit(255)")
    with pytest.raises(kind) as caught:
        session.request("x")
    assert type(caught.value) is kind
    assert str(caught.value).startswith("web1: ")
    assert text in str(caught.value)
    assert "→" in str(caught.value)


def test_first_contact_falls_back_to_the_bootstrap_login_once(fake_ssh: Callable[..., Session]) -> None:
    session = fake_ssh(
        """
        if "web1" in sys.argv:
            sys.exit("root@192.0.2.1: Permission denied (publickey).")
        print("have", flush=True)
        for line in sys.stdin:
            print(json.dumps({"id": json.loads(line)["id"], "ok": True, "result": {}}), flush=True)
        """,
        bootstrap_user="root",
    )
    session.request("x")
    assert session.connections == 2
    session.close()
    # fail2ban counts each login as a user that does not exist yet, so the next run must not try that login.
    again = Session("web1", "lab", project=session._project)
    again.request("x")
    assert again.connections == 1
    again.close()


def test_once_the_declared_login_works_the_bootstrap_login_is_not_tried(
    fake_ssh: Callable[..., Session],
) -> None:
    session = fake_ssh(
        """
        if "web1-bootstrap" in sys.argv:
            sys.exit("root@192.0.2.1: Permission denied (publickey).")
        print("have", flush=True)
        for line in sys.stdin:
            print(json.dumps({"id": json.loads(line)["id"], "ok": True, "result": {}}), flush=True)
        """,
        bootstrap_user="root",
    )
    session._first_contact.touch()
    session.request("x")
    assert session.connections == 2
    assert not session._first_contact.exists()
    session.close()


def test_a_read_survives_one_broken_connection(fake_ssh: Callable[..., Session], tmp_path: Path) -> None:
    session = fake_ssh(f"""
        print("have", flush=True)
        line = sys.stdin.readline()
        marker = {str(tmp_path / "once")!r}
        if not os.path.exists(marker):
            open(marker, "w").close()
            sys.exit(255)
        print(json.dumps({{"id": json.loads(line)["id"], "ok": True, "result": {{}}}}), flush=True)
        sys.stdin.readline()
        """)
    session.request("x")
    assert session.connections == 2
    session.close()


def test_a_write_is_never_sent_twice(fake_ssh: Callable[..., Session], tmp_path: Path) -> None:
    log = tmp_path / "log"
    session = fake_ssh(f"""
        print("have", flush=True)
        line = sys.stdin.readline()
        open({str(log)!r}, "a").write("x")
        sys.exit(255)
        """)
    with pytest.raises(ConnectionFailed):
        session.request("put", write=True)
    assert log.read_text() == "x"


def test_a_cancel_does_not_wait_for_a_login(fake_ssh: Callable[..., Session], tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    session = fake_ssh(f"open({str(begun)!r}, 'w').close()\ntime.sleep(600)")
    with ThreadPoolExecutor(2) as threads:
        asked = threads.submit(session.request, "x")
        until(begun.exists)
        threads.submit(session.close).result(HANG / 2)
        with pytest.raises(ConnectionFailed):
            asked.result(HANG)
    with pytest.raises(ConnectionFailed, match="the deploy has been cancelled"):
        session.request("x")


def test_a_machine_without_ssh_gets_an_error_for_people(
    fake_ssh: Callable[..., Session], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    session = fake_ssh("")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConnectionFailed, match="ssh cannot be started: No such file") as caught:
        session.request("x")
    assert caught.value.hint == "install the OpenSSH client on this machine"


def test_a_silent_host_times_out(fake_ssh: Callable[..., Session]) -> None:
    session = fake_ssh('print("have", flush=True)\nsys.stdin.read()')
    with pytest.raises(TimedOut, match="no answer to the request 'x' within 1 s"):
        session.request("x", timeout=0.6)


def test_only_a_write_installs_python(fake_ssh: Callable[..., Session], tmp_path: Path) -> None:
    body = f"""
        marker = {str(tmp_path / "python")!r}
        if "apt-get" in sys.argv[-1]:
            open(marker, "w").close()
            sys.exit(0)
        if not os.path.exists(marker):
            print("no-python", flush=True)
            sys.exit(0)
        print("have", flush=True)
        for line in sys.stdin:
            number = json.loads(line)["id"]
            print(json.dumps({{"id": number, "ok": True, "result": {{}}}}), flush=True)
        """
    session = fake_ssh(body)
    with pytest.raises(PythonMissing, match="installs python3 before the first change"):
        session.request("x")
    session.request("x", write=True)
    session.close()


def test_an_agents_refusal_keeps_its_parts(fake_ssh: Callable[..., Session]) -> None:
    session = fake_ssh("""
        print("have", flush=True)
        line = sys.stdin.readline()
        error = {"code": "differs", "message": "differs", "hint": "adopt", "property": "content"}
        error["detail"] = "-a"
        print(json.dumps({"id": json.loads(line)["id"], "ok": False, "error": error}), flush=True)
        sys.stdin.read()
        """)
    with pytest.raises(AgentRefused) as caught:
        session.request("put", write=True)
    assert caught.value.code == "differs"
    assert str(caught.value) == "web1: content: differs\n    -a\n  → adopt"
    session.close()


def test_without_ssh_config_the_hint_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(ConnectionFailed, match="run `portcullis preview` once"):
        Session("web1", "lab", project=tmp_path).request("x")


def test_a_process_has_one_session_for_each_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "_sessions", {})
    assert session_module.session("a", "lab") is session_module.session("a", "lab")
    assert session_module.session("a", "lab") is not session_module.session("b", "lab")
    assert session_module.session("a", "lab") is not session_module.session("a", "prod")


def test_the_end_of_the_agent_is_noticed_although_the_shared_connection_stays(
    fake_ssh: Callable[..., Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_process, "_TIME_TO_END", 0.2)
    session = fake_ssh("""
        print("have", flush=True)
        sys.stdin.readline()
        print("Killed", file=sys.stderr, flush=True)
        print("ended", flush=True)
        time.sleep(60)
        """)
    with pytest.raises(ConnectionFailed):
        session.request("put", write=True, timeout=30)


def test_an_unreachable_host_is_tried_once_for_all_resources(
    fake_ssh: Callable[..., Session], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    session = fake_ssh(f"""
        open({str(log)!r}, "a").write("x")
        sys.exit("ssh: connect to host 192.0.2.1 port 22: Connection timed out")
        """)
    for _ in range(5):
        with pytest.raises(Unreachable, match=r"192\.0\.2\.1 port 22: Connection timed out"):
            session.request("x")
    assert log.read_text() == "x"


def test_a_host_that_reads_nothing_blocks_no_other_request(
    fake_ssh: Callable[..., Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_process, "_TIME_TO_END", 0.2)
    session = fake_ssh('print("have", flush=True)\ntime.sleep(60)')
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            session.request("put", write=True, timeout=1, data="x" * 1_000_000)
        except TimedOut as error:
            failures.append(error)

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
    assert len(failures) == 4


def test_a_read_that_takes_too_long_leaves_the_others_alone(
    fake_ssh: Callable[..., Session], tmp_path: Path
) -> None:
    begun, go = tmp_path / "begun", tmp_path / "go"
    session = fake_ssh(f"""
        print("have", flush=True)
        slow = json.loads(sys.stdin.readline())["id"]
        open({str(begun)!r}, "w").close()
        until({str(go)!r})
        print(json.dumps({{"id": slow, "ok": True, "result": {{"installed": True}}}}), flush=True)
        sys.stdin.read()
        """)
    found: list[dict[str, Any]] = []
    installing = threading.Thread(target=lambda: found.append(session.request("x", write=True, timeout=HANG)))
    installing.start()
    until(begun.exists)
    with pytest.raises(TimedOut):
        session.request("x", timeout=0.3)
    go.touch()
    installing.join(HANG)
    assert found == [{"installed": True}]
    session.close()


def test_each_waiting_resource_gets_an_error_of_its_own(fake_ssh: Callable[..., Session]) -> None:
    session = fake_ssh("""
        print("have", flush=True)
        for _ in range(2):
            sys.stdin.readline()
        print("Out of memory", file=sys.stderr)
        sys.exit(137)
        """)
    caught: list[ConnectionFailed] = []

    def ask() -> None:
        try:
            session.request("put", write=True)
        except ConnectionFailed as error:
            caught.append(error)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
    assert caught[0] is not caught[1]
    assert "Out of memory" in str(caught[0])
    assert "address and port" not in str(caught[0])


SYSTEM = """
print("have", flush=True)
for line in sys.stdin:
    message = json.loads(line)
    assert message["op"] in ("hello", "survey"), "nothing may be changed"
    system = {"os": "debian-12"}
    result = system if message["op"] == "hello" else {"items": [], "host": system}
    print(json.dumps({"id": message["id"], "ok": True, "result": result}), flush=True)
"""


@pytest.mark.parametrize("write", [True, False])
def test_another_system_than_the_declared_one_is_refused_before_any_change(
    fake_ssh: Callable[..., Session], *, write: bool
) -> None:
    session = fake_ssh(SYSTEM, os="debian-13")
    with pytest.raises(
        OtherSystem, match="the host runs debian-12, but the settings declare debian-13"
    ) as caught:
        session.request("put" if write else "survey", write=write)
    assert "write os: debian-12" in str(caught.value)
    session.close()


def test_the_system_is_checked_once(fake_ssh: Callable[..., Session]) -> None:
    session = fake_ssh(
        ECHO.replace('"result": message', '"result": {**message, "os": "debian-12"}'), os="debian-12"
    )
    assert [session.request("x", write=True)["op"] for _ in range(3)] == ["x"] * 3
    assert session.requests == 4
    session.close()


def test_a_key_that_does_not_exist_is_named(fake_ssh: Callable[..., Session], tmp_path: Path) -> None:
    body = 'sys.exit("root@192.0.2.1: Permission denied (publickey).")'
    session = fake_ssh(body, identity_file=str(tmp_path / "nowhere"))
    with pytest.raises(LoginRefused, match="nowhere does not exist on this machine"):
        session.request("x")


LOGINS = """
argv = sys.argv[1:]
alias = next(word for word in argv if word.startswith("web1"))
if alias == "web1" and not os.path.exists({marker!r}):
    print("deploy@192.0.2.1: Permission denied (publickey).", file=sys.stderr)
    sys.exit(255)
print("have", flush=True)
for line in sys.stdin:
    message = json.loads(line)
    port = [word for word in argv if word.startswith("Port=")]
    result = {{"alias": alias, "alone": "ControlPath=none" in argv, "port": port}}
    print(json.dumps({{"id": message["id"], "ok": True, "result": result}}), flush=True)
"""


def test_a_fresh_login_is_a_new_connection_of_the_sessions_user(
    fake_ssh: Callable[..., Session], tmp_path: Path
) -> None:
    marker = tmp_path / "deploy-exists"
    session = fake_ssh(LOGINS.format(marker=str(marker)), user="deploy", bootstrap_user="root")
    assert session.request("x") == {"alias": "web1-bootstrap", "alone": False, "port": []}
    again = session.log_in_again("confirm", Login())
    assert again == {"alias": "web1-bootstrap", "alone": True, "port": []}
    with pytest.raises(LoginRefused):
        session.log_in_again("confirm", Login(declared=True))

    marker.touch()
    assert session.log_in_again("confirm", Login(port=2222)) == {
        "alias": "web1",
        "alone": True,
        "port": ["Port=2222"],
    }
    # The host may refuse root from now on, so a login as root confirms nothing any more.
    assert session.log_in_again("confirm", Login())["alias"] == "web1"
    assert session.connections == 2, "one that was refused, and the session"
    session.close()


@pytest.mark.parametrize(
    ("limit", "said", "told"),
    [
        (
            "LONGEST_ANSWER",
            'print("have", flush=True)\nwhile True: sys.stdout.write("x" * 4096)',
            "longer than",
        ),
        ("MOST_OF_A_SESSION", 'print("have", flush=True)\nwhile True: print("{}" * 999)', "in one session"),
        ("_LONGEST_GREETING", 'while True: print("Welcome")', "before it started the agent"),
    ],
)
def test_a_host_that_sends_too_much_is_cut_off(
    fake_ssh: Callable[..., Session], monkeypatch: pytest.MonkeyPatch, limit: str, said: str, told: str
) -> None:
    monkeypatch.setattr(agent_process, limit, 1 << 20, raising=False)
    session = fake_ssh(said)
    with pytest.raises(ConnectionFailed, match=told):
        session.request("x", timeout=HANG)
    session.close()


@pytest.mark.parametrize(
    ("answer", "kind", "told"),
    [
        ('"[" * 100000', ConnectionFailed, "nested too deeply"),
        (
            "json.dumps({'id': 1, 'ok': True, 'result': 'no object'})",
            ConnectionFailed,
            "does not come from an agent of this version",
        ),
        ("json.dumps({'id': 1, 'error': 'no object'})", AgentRefused, "the agent failed"),
        ("json.dumps({'id': 1, 'error': {'message': ['a list']}})", AgentRefused, "a list"),
    ],
)
def test_an_answer_of_no_agent_is_an_error_for_people(
    fake_ssh: Callable[..., Session], answer: str, kind: type[Exception], told: str
) -> None:
    session = fake_ssh(f"""
        print("have", flush=True)
        number = json.loads(sys.stdin.readline())["id"]
        print(({answer}).replace('"id": 1', '"id": %d' % number), flush=True)
        sys.stdin.readline()
        """)
    with pytest.raises(kind, match=told):
        session.request("x", timeout=HANG)
    session.close()


def test_texts_of_ssh_and_hosts_cannot_control_a_terminal(fake_ssh: Callable[..., Session]) -> None:
    session = fake_ssh("""
        sys.stderr.write("x" * 100000 + "\\n\\x1b]52;c;eA==\\x07::stop-commands::x\\n")
        sys.exit(1)
        """)
    with pytest.raises(ConnectionFailed) as caught:
        session.request("x")
    assert "52;c;eA==" in str(caught.value)
    assert "\x1b" not in str(caught.value)
    session = fake_ssh("""
        print("have", flush=True)
        number = json.loads(sys.stdin.readline())["id"]
        error = {"code": "x", "message": "a\\x1b[2Kb", "detail": "::add-mask::e", "hint": "<{%fg 1%}>"}
        print(json.dumps({"id": number, "error": error}), flush=True)
        sys.stdin.readline()
        """)
    with pytest.raises(AgentRefused) as refused:
        session.request("x")
    assert str(refused.value) == "web1: a\ufffd[2Kb\n    \ufffd::add-mask::e\n  → <\ufffd{%fg 1%}>"
    session.close()


STEP = {"property": "mode", "have": "1", "want": "2", "action": "set", "detail": ""}
FACTS = {"exists": True}


@pytest.mark.parametrize(
    ("op", "result"),
    [
        ("hello", {"os": ["debian-13"]}),
        ("survey", {"items": {}}),
        ("survey", {"items": [{"kind": "file", "id": 3, "facts": FACTS}]}),
        ("survey", {"items": [{"kind": "file", "id": "/x", "facts": {"exists": "yes"}}]}),
        ("survey", {"items": [{"kind": "file", "id": "/x", "error": "no"}]}),
        ("survey", {"items": [], "host": {"os": 1}}),
        ("put", {"facts": FACTS}),
        ("put", {"steps": [{**STEP, "have": 3}], "facts": FACTS}),
        ("put", {"steps": [STEP], "facts": []}),
        ("put", {"steps": [], "facts": FACTS, "guard": {"a": 1}}),
        ("plan", {"steps": [], "facts": FACTS, "refusal": "no"}),
        ("remove", {"done": None}),
        ("rollback", {"confirmed": 1, "failed": []}),
        ("armed", {"armed": "no"}),
        ("tree-missing", {"missing": [["a"]]}),
    ],
)
def test_an_answer_of_another_form_is_refused(op: str, result: dict[str, Any]) -> None:
    with pytest.raises(
        HostError, match=r"the answer does not come from an agent of this version: .* has the wrong form"
    ):
        answers.check(op, result)


def test_texts_for_people_in_an_answer_are_made_printable() -> None:
    said = answers.check("put", {"steps": [{**STEP, "have": "\x1b[2J"}], "facts": FACTS, "more": 1})
    assert said["steps"] == [{**STEP, "have": f"{MARK}[2J"}]
    assert said["more"] == 1
