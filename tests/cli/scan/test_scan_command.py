"""`portcullis scan`, as people and deploys run it."""

from __future__ import annotations

import io
import json
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.cli.main import parsed
from portcullis.cli.scan import greetings, syn, vantage
from portcullis.cli.scan.main import run
from portcullis.components.host.declared import Declared, Opening
from tests.cli.scan.scan_wire import V4, V6

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.scan.scan_wire import Wire

OURS = [22, 25, 80, 443, 2222, 3306, 5432, 5433, 5434, 6380, 8080, 8443, 9999, 27018]
PORTS = "1-10000,27000-27100"


def openings(*ports: int, answers: str = "every") -> tuple[Opening, ...]:
    return tuple(Opening(port, port, "the test", "there", (), answers) for port in ports)


def scanned(arguments: list[str]) -> int:
    return run(parsed(["scan", "--stack", "lab", *arguments]))


def scan(wire: Wire, told: Declared, *arguments: str) -> tuple[int, str]:
    argv = ["--declared", "-", "--rate", "50000", *arguments]
    done = wire.quick("portcullis", "scan", *argv, text=json.dumps([told.json()]), check=False)
    return done.returncode, done.stdout + done.stderr


def test_each_undeclared_port_is_a_fault_and_a_declared_port_is_none(wire: Wire, tmp_path: Path) -> None:
    told = Declared("web1", (V4, V6), 22, openings(*OURS))
    file = tmp_path / "scan.json"
    code, said = scan(wire, told, "--ports", PORTS, "--json", str(file))
    assert code == 1, said
    assert f"FAIL: web1 {V4}: port 6379/tcp is open and nobody declared it; redis: +PONG, without" in said
    assert f"FAIL: web1 {V6}: mongodb on port 27017/tcp serves everybody without credentials" in said
    assert f"FAIL: web1 {V6}: port 9000/tcp is open" in said
    assert f"FAIL: web1 {V4}: port 9000/tcp" not in said, "it listens on IPv6 only"
    assert json.loads(file.read_text())["result"] == 1
    code, said = scan(wire, told, "--ports", "1-5000", "--method", "connect", "--family", "4", "--quiet")
    assert (code, said) == (0, "open ports and certificates are as declared\n")


def test_a_host_that_does_not_answer_is_an_error_and_not_a_closed_host(wire: Wire) -> None:
    code, said = scan(wire, Declared("web1", ("203.0.113.77",), 22, openings(22)), "--ports", "3306")
    assert code == 2
    assert "nothing answers at 203.0.113.77" in said


def test_a_certificate_of_a_public_authority_has_to_be_trusted(wire: Wire) -> None:
    sites = {"shop.example.com": "public"}
    told = Declared("web1", (V4,), 22, openings(22, 443), tuple(sites), "shop.example.com", sites)
    code, said = scan(wire, told, "--ports", "443")
    assert code == 1
    assert "browsers do not trust the certificate" in said
    code, said = scan(wire, told, "--ports", "443", "--roots", str(wire.folder / "root.pem"))
    assert code == 0, said


def fake_ssh(tmp_path: Path, script: str) -> str:
    program = tmp_path / "ssh"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program)


def test_from_another_machine_the_same_probe_runs_there(tmp_path: Path) -> None:
    # This stand-in for ssh runs the command on this machine with a shell, as sshd does.
    ssh = fake_ssh(tmp_path, f'echo "$@" >{tmp_path}/argv; for last; do :; done; cd /; exec sh -c "$last"')
    question: dict[str, Any] = {
        "addresses": ["127.0.0.1"], "families": [4], "ports": [[1, 2]], "ssh": 22, "sites": [], "page": "",
        "roots": "", "method": "connect", "rate": 100,
    }  # fmt: skip
    found = vantage.answer(question, "elsewhere", (ssh,))
    assert found["addresses"]["127.0.0.1"]["refused"] == 2
    said = (tmp_path / "argv").read_text()
    assert "BatchMode=yes" in said
    assert "-- elsewhere sh -c" in said


def test_the_answer_of_another_machine_cannot_control_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "\x1b]52;c;eA==\x07\n::stop-commands::x"
    greeting = {"speaks": "http", "said": evil, "access": ""}
    certificate = {"ends": 0, "fault": evil, "issuer": evil, "trusted": False}
    found = {"open": [80], "refused": 0, "silent": 0, "source": "192.0.2.9", "greetings": {"80": greeting},
             "certificates": {"a.example": certificate}}  # fmt: skip
    answer = {"addresses": {V4: found}, "from": evil, "method": "connect", "unresolved": [evil]}
    monkeypatch.setattr(vantage, "answer", lambda *_: answer)
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps([Declared("web1", (V4,), 22, ()).json()])))
    assert scanned(["--declared", "-", "--from", "elsewhere", "--ports", "80"]) == 1
    said = capsys.readouterr().out
    assert "52;c;eA==" in said
    assert "\x1b" not in said
    assert "\n::stop" not in said


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            "echo 'ssh: connect to host: No route' >&2; exit 255",
            "elsewhere cannot be reached by ssh: ssh: connect",
        ),
        (
            "echo 'sh: 1: python3: not found' >&2; exit 127",
            "Python 3.10 or newer on elsewhere: sh: 1: python3: not found",
        ),
        ("echo Welcome; exit 0", "did not answer with a result: Welcome"),
        (r"printf '\033[2K'; exit 0", "did not answer with a result: \ufffd"),
        (r"printf '\033[2K' >&2; exit 255", "cannot be reached by ssh: \ufffd"),
        (r"head -c 100000 /dev/zero | tr '\0' '['; exit 0", "did not answer with a result"),
    ],
)
def test_a_failing_scan_from_another_machine_says_why(tmp_path: Path, script: str, said: str) -> None:
    with pytest.raises(vantage.VantageFailed, match=said):
        vantage.answer({}, "elsewhere", (fake_ssh(tmp_path, script),))


@pytest.mark.parametrize(
    ("pulumi", "said"),
    [
        ("echo 'error: no stack named prod' >&2; exit 1", "error: no stack named prod"),
        ("echo '{}'", "portcullis:hosts: declares no host"),
    ],
)
def test_unreadable_settings_are_reported(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    pulumi: str,
    said: str,
) -> None:
    program = tmp_path / "pulumi"
    program.write_text(f"#!/bin/sh\n{pulumi}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    assert scanned(["--stack", "prod"]) == 2
    assert said in capsys.readouterr().err


def test_an_unknown_host_lists_the_hosts_of_the_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program, key = (
        tmp_path / "pulumi",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBZR3YwMARMndYt76G09uRhEf3IUq4cur64KMzXlUV5w",
    )
    hosts = {"web1": {"address": "203.0.113.10", "os": "debian-13", "hostKey": key}}
    config = {"portcullis:hosts": {"value": json.dumps(hosts), "objectValue": hosts, "secret": False}}
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(config)}\nEND\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert scanned(["--host", "web2"]) == 2
    assert "stack lab has no host web2; it has web1" in capsys.readouterr().err


def test_without_hosts_in_the_settings_the_file_of_the_last_up_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "pulumi"
    program.write_text("#!/bin/sh\necho '{}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    file = tmp_path / ".portcullis/lab/declared.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps([Declared("shop", ("127.0.0.1",), 22, ()).json()]))
    assert scanned(["--host", "web2"]) == 2
    assert ".portcullis/lab/declared.json has no host web2; it has shop" in capsys.readouterr().err


def test_raw_packets_without_root_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "declared.json"
    file.write_text(json.dumps([Declared("web1", ("127.0.0.1",), 22, ()).json()]))
    monkeypatch.setattr(syn, "possible", lambda: False)
    assert scanned(["--declared", str(file), "--method", "syn", "--ports", "9"]) == 2
    assert "raw packets, which need root" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0", "22-", "a", "70000", "30-20"])
def test_invalid_ports_are_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        scanned(["--ports", text])
    assert "argument --ports" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0", "-5", "fast"])
def test_an_invalid_rate_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        scanned([f"--rate={text}"])
    assert "argument --rate" in capsys.readouterr().err


def test_a_port_that_accepts_and_stays_silent_speaks_no_known_protocol(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(greetings, "_FIRST_WORD", 0.05)
    monkeypatch.setattr(greetings, "PATIENCE", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert greetings.greet("127.0.0.1", port).said == "speaks no known protocol"


def test_a_failed_write_of_the_result_is_reported_after_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(greetings, "_FIRST_WORD", 0.05)  # the server of this test sends no greeting
    file = tmp_path / "declared.json"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        told = Declared("web1", ("127.0.0.1",), port, (Opening(port, port, "SSH", "there"),))
        file.write_text(json.dumps([told.json()]))
        asked = ["--declared", str(file), "--ports", str(port), "--method", "connect"]
        assert scanned([*asked, "--json", str(tmp_path / "nowhere" / "scan.json")]) == 2
    said = capsys.readouterr()
    assert f"ok  {port}/tcp  open  SSH" in said.out
    assert said.err.startswith(f"scanning ports {port} of web1 over IPv4 and IPv6…\n")
    assert "error: " in said.err
    assert "nowhere/scan.json" in said.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "declares no host"),
        ("{}", "declares no host"),
        ("[{}]", "does not have the form that `up` writes: KeyError: 'openings'"),
        ("[null]", "does not have the form that `up` writes: TypeError"),
        ("5", "does not have the form that `up` writes: TypeError"),
        ("nonsense", "does not have the form that `up` writes: JSONDecodeError"),
    ],
)
def test_a_file_that_declares_no_host_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    file = tmp_path / "declared.json"
    file.write_text(text)
    assert scanned(["--declared", str(file)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"error: {file} ")
    assert said in printed.err
    assert printed.err.count("\n") == 1


COMPLETE: dict[str, Any] = {
    "from": "x", "method": "syn", "unresolved": [],
    "addresses": {"192.0.2.1": {
        "source": "10.0.0.1", "open": [22], "refused": 1, "silent": 1, "greetings": {}, "certificates": {},
    }},
}  # fmt: skip


@pytest.mark.parametrize(
    "part",
    [
        {"from": 1},
        {"method": "magic"},
        {"unresolved": 3},
        {"addresses": []},
        {"addresses": {"a": {"source": "me"}}},
        *(
            {"addresses": {"a": {**COMPLETE["addresses"]["192.0.2.1"], "open": [port]}}}
            for port in (-22, 70000)
        ),
    ],
)
def test_an_answer_of_another_form_is_refused(part: dict[str, Any]) -> None:
    assert vantage.checked(COMPLETE, "elsewhere") == COMPLETE
    with pytest.raises(vantage.VantageFailed, match="is not the result of a scan"):
        vantage.checked({**COMPLETE, **part}, "elsewhere")
