"""The lines that `make plan` prints about each resource. The host's answers are canned."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.cli import command, plan
from portcullis.components.users.on_host import authorized_keys
from portcullis.host.errors import HostError, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

URN = "urn:pulumi:lab::portcullis::portcullis:index:File::motd"
FILE: dict[str, Any] = {
    "managed_by": URN, "host": "web1", "path": "/etc/motd", "content": "managed\n", "owner": "root",
    "group": "root", "mode": "0644", "on_delete": "restore",
}  # fmt: skip
STEP = {"property": "content", "have": "by hand\n", "want": "managed\n", "action": "write"}
REFUSAL = {
    "code": "differs", "message": "/etc/motd is there and differs", "property": "content",
    "detail": "-by hand\n+managed", "hint": "set adopt=True to replace it",
}  # fmt: skip


class Host:
    """A host that gives the same answer to every request, and records the requests."""

    def __init__(self, answer: dict[str, Any] | HostError) -> None:
        self.answer = answer
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def request(self, op: str, **arguments: Any) -> dict[str, Any]:
        self.asked.append((op, arguments))
        if isinstance(self.answer, HostError):
            raise self.answer
        return self.answer


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Return a function that plans a file with changed properties, for a given answer of the host."""

    def lines(answer: dict[str, Any] | HostError, **changes: Any) -> list[str]:
        host = Host(answer)
        monkeypatch.setattr(plan, "session", lambda alias, _stack: host if alias == "web1" else None)
        found = plan.plan_lines(plan.Declared("File", "motd", {**FILE, **changes}))
        assert all(op == "plan" for op, _ in host.asked), "it must not change anything"
        return found

    return lines


def test_a_resource_has_the_same_owner_as_in_an_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "__main__.py").write_text(
        "from portcullis.components import HardenedHost, HardenedHostArgs\n"
        "args = HardenedHostArgs(address='203.0.113.10', os='debian-13', trust_host_key=True)\n"
        "HardenedHost('web1', args)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    found = {one.name: one for one in plan.declared_by_program("shop", "prod", {}, [])}
    assert found["web1-docker-daemon.json"].props["managed_by"] == (
        "urn:pulumi:prod::shop::portcullis:index:HardenedHost$portcullis:index:DockerEngine"
        "$portcullis:index:File::web1-docker-daemon.json"
    )


def test_a_resource_as_declared(lines: Callable[..., list[str]]) -> None:
    assert lines({"steps": [], "refusal": None}) == ["= web1: File motd"]


def test_a_resource_that_would_change(lines: Callable[..., list[str]]) -> None:
    assert lines({"steps": [STEP], "refusal": None}) == [
        "~ web1: File motd",
        "    content: 'by hand\\n' => 'managed\\n'",
    ]


def test_a_refusal_comes_with_its_reason_and_advice(lines: Callable[..., list[str]]) -> None:
    found = lines({"steps": [STEP], "refusal": REFUSAL})
    assert found[0] == "! web1: File motd"
    assert found[2:] == [
        "    /etc/motd is there and differs",
        "    -by hand",
        "    +managed",
        "    set adopt=True to replace it",
    ]


@pytest.mark.parametrize(
    ("code", "elsewhere", "here"),
    [
        # The host has ufw, but no rule for SSH yet: `up` applies the SshServer before the firewall.
        ("no-ssh-rule", ("SshServer", {"host": "web2"}), ("SshServer", {"host": "web1"})),
        # `up` starts Docker before it reads Docker's version.
        (
            "no-docker",
            ("Service", {"host": "web1", "unit": "nginx.service"}),
            ("Service", {"host": "web1", "unit": "docker.service"}),
        ),
    ],
)
def test_a_refusal_that_an_earlier_resource_prevents_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, code: str, elsewhere: Any, here: Any
) -> None:
    monkeypatch.setattr(
        plan, "session", lambda *_: Host({"steps": [STEP], "refusal": {**REFUSAL, "code": code}})
    )
    file = plan.Declared("File", "motd", FILE)
    assert plan.plan_lines(file, [file])[0].startswith("! ")
    other, first = (plan.Declared(kind, "it", props) for kind, props in (elsewhere, here))
    assert plan.plan_lines(file, [file, other])[0].startswith("! ")
    assert plan.plan_lines(file, [file, first])[:2] == [
        "~ web1: File motd",
        "    content: 'by hand\\n' => 'managed\\n'",
    ]


def test_removing_a_key_of_root_that_a_declared_user_has_is_no_refusal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first `up` logs in with root's key. `up` creates the declared user before it removes root's key."""
    line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO2q8YREHwHGm/XQKhkVbx8c7BWkBJUW+xFGrlQUqG8U"
    key = authorized_keys.parse(line)
    assert key
    step = {"property": f"keys.{key.fingerprint}", "have": f"{line} root@bare", "want": "absent"}
    answer = {"steps": [step], "refusal": REFUSAL}
    monkeypatch.setattr(plan, "session", lambda *_: Host(answer))
    props = {"host": "web1", "user": "root", "keys": {}, "on_delete": "keep", "managed_by": URN}
    root = plan.Declared("User", "root", props)
    assert plan.plan_lines(root, [root])[1].startswith("    keys.SHA256:")
    assert plan.plan_lines(root, [root])[0] == "! web1: User root"

    def deploy(host: str, keys: dict[str, str]) -> plan.Declared:
        return plan.Declared("User", "deploy", {"host": host, "user": "deploy", "keys": keys})

    assert plan.plan_lines(root, [root, deploy("web2", {"laptop": line})])[0] == "! web1: User root"
    assert plan.plan_lines(root, [root, deploy("web1", {})])[0] == "! web1: User root"
    assert plan.plan_lines(root, [root, deploy("web1", {"laptop": line})])[0] == "~ web1: User root"
    answer["steps"] = [step, {**step, "property": "keys.SHA256:somebody-else"}]
    assert plan.plan_lines(root, [root, deploy("web1", {"laptop": line})])[0] == "! web1: User root"


def test_a_host_that_does_not_answer_is_reported_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = Host(Unreachable("not reachable: 203.0.113.10 port 22: timed out", hint="check the address"))
    monkeypatch.setattr(plan, "session", lambda *_: gone)
    assert plan.report([plan.Declared("File", name, FILE) for name in ("a", "b", "c")]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "! web1",
        "    not reachable: 203.0.113.10 port 22: timed out",
        "      → check the address",
        "! web1: 3 resources could not be checked",
    ]


def test_a_long_value_is_cut(lines: Callable[..., list[str]]) -> None:
    found = lines({"steps": [{**STEP, "want": "x" * 500}], "refusal": None})
    assert len(found[1]) < 150
    assert "…" in found[1]


def test_secret_content_is_not_printed(lines: Callable[..., list[str]]) -> None:
    found = lines({"steps": [{**STEP, "want": "hunter2"}], "refusal": None}, content="hunter2", secret=True)
    assert "hunter2" not in "".join(found)
    assert found[1] == "    content: [secret]"


def test_an_error_of_one_resource_is_shown_at_that_resource(lines: Callable[..., list[str]]) -> None:
    found = lines(HostError("web1 does not answer"))
    assert found[0] == "! web1: File motd"
    assert "does not answer" in found[1]


def test_a_fault_of_a_property_never_reaches_the_host(lines: Callable[..., list[str]]) -> None:
    found = lines(AssertionError(), path="not/absolute")
    assert found[0] == "! web1: File motd"
    assert found[1].startswith("    path: ")


def test_kinds_about_things_of_the_same_up_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "__main__.py").write_text(
        "from portcullis.components import ContainerState, Release\n"
        "from portcullis.resources import Directory\n"
        "release = Release('api-release', host='web1', app='api', defined_by={})\n"
        "name = release.number.apply(lambda number: f'api-{int(number)}')\n"
        "ContainerState('api', host='web1', container=name, container_id='i', image='x')\n"
        "Directory('folder', host='web1', path='/srv/x')\n"
    )
    monkeypatch.chdir(tmp_path)
    declared = plan.declared_by_program("portcullis", "lab", {}, [])
    assert [(one.kind, one.name) for one in declared] == [("Directory", "folder")]


def test_a_value_from_a_generated_secret_is_known_only_after_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "__main__.py").write_text(
        "from portcullis.components.secrets.resource import GeneratedSecret\n"
        "from portcullis.resources import File\n"
        "secret = GeneratedSecret('password')\n"
        "File('password', host='web1', path='/etc/password', content=secret.value)\n"
        "File('motd', host='web1', path='/etc/motd', content='hello')\n"
    )
    monkeypatch.chdir(tmp_path)
    declared = {one.name: one for one in plan.declared_by_program("portcullis", "lab", {}, [])}
    assert set(declared) == {"password", "motd"}
    assert declared["motd"].known
    assert plan.plan_lines(declared["password"]) == [
        "? web1: File password",
        "    known only after `up`: it depends on a value that `up` generates or reads",
    ]


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (
            "from portcullis.components import AppArgs\nAppArgs(image='acme/api@sha256:…', port=8080)\n",
            "the Pulumi program cannot run: .*AppArgs.image: .* is not an image with a digest",
        ),
        ("int('hunter2')\n", r"the Pulumi program fails: ValueError in __main__\.py, line 1"),
        (
            "{}['hunter2']\n",
            r"the Pulumi program fails: KeyError in __main__\.py, line 1\n  -> `portcullis preview`",
        ),
    ],
)
def test_a_failing_program_is_reported_in_short(
    program: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
    (tmp_path / "__main__.py").write_text(program)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "settings", lambda _stack: {})
    with pytest.raises(command.Failed, match=said) as failed:
        plan.run(argparse.Namespace(stack="dev"))
    assert "hunter2" not in str(failed.value)
