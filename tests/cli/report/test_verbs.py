"""Tests the commands `preview`, `up` and `drift`. A fake Pulumi prints recorded events of the engine."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from portcullis.components.inventory.facts import MAPS, STILL_SERVES
from tests.cli.report.streams import Stream, drifted, stopped

ROOT = Path(__file__).resolve().parents[3]
FILE = {"path": "/etc/motd", "content": "one\n", "mode": "0644", "on_delete": "restore"}
_PRINTS = f"""\
#!{sys.executable}
import json, os, sys
folder = os.environ["TOLD"]
with open(f"{{folder}}/calls", "a") as calls:
    calls.write(json.dumps({{"argv": sys.argv[1:], "cwd": os.getcwd(),
        "streams": os.environ.get("PULUMI_ENABLE_STREAMING_JSON_PREVIEW")}}) + "\\n")
verb = sys.argv[1]
for name, stream in ((f"{{folder}}/{{verb}}", sys.stdout), (f"{{folder}}/{{verb}}.stderr", sys.stderr)):
    if os.path.exists(name):
        stream.write(open(name).read())
code = f"{{folder}}/{{verb}}.code"
sys.exit(int(open(code).read()) if os.path.exists(code) else 0)
"""


class Shell:
    """A shell in a project, with a Pulumi that prints given streams."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = folder / "project"
        self.project.mkdir()
        (self.project / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
        program = folder / "bin" / "pulumi"
        program.parent.mkdir()
        program.write_text(_PRINTS)
        program.chmod(0o755)
        self.env = {
            "PATH": f"{program.parent}:/usr/bin:/bin", "PYTHONPATH": str(ROOT), "TOLD": str(folder),
            "LANG": "C.UTF-8",
        }  # fmt: skip

    def plays(self, verb: str, stream: Stream, code: int = 0, stderr: str = "") -> Shell:
        (self.folder / verb).write_text("\n".join(stream.lines) + "\n")
        (self.folder / f"{verb}.code").write_text(str(code))
        (self.folder / f"{verb}.stderr").write_text(stderr)
        return self

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "portcullis", *words], cwd=self.project, env=self.env, text=True,
            stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60,
        )  # fmt: skip
        # Durations differ from machine to machine.
        done.stdout = re.sub(r"\b\d+( s\b)", r"0\1", re.sub(r"\b\d+\.\d s\b", "0.0 s", done.stdout))
        return done

    def asked(self, *words: str, answer: str) -> tuple[int, str]:
        """Run it on a terminal of 80 columns. Return its exit code and the text on the terminal."""
        mine, theirs = pty.openpty()
        with subprocess.Popen(
            [sys.executable, "-m", "portcullis", *words], cwd=self.project, stdin=theirs, stdout=theirs,
            stderr=theirs, env={**self.env, "COLUMNS": "80", "TERM": "xterm", "NO_COLOR": "1"},
        ) as process:  # fmt: skip
            os.close(theirs)
            os.write(mine, f"{answer}\n".encode())
            said = b""
            try:
                while piece := os.read(mine, 65536):
                    said += piece
            except OSError:  # the other end is closed
                pass
            os.close(mine)
        return process.returncode, said.decode()

    @property
    def calls(self) -> list[list[str]]:
        lines = (self.folder / "calls").read_text().splitlines()
        return [json.loads(line)["argv"] for line in lines]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def quiet() -> Stream:
    return Stream().thing("File", "motd", FILE, FILE, FILE)


def changed() -> Stream:
    return Stream().thing("File", "motd", FILE, {**FILE, "content": "two\n"}, FILE)


def test_exit_codes_of_a_preview(shell: Shell) -> None:
    done = shell.plays("preview", quiet()).run("preview", "--stack", "prod")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "web1: no differences in 1 resource (0 s)\n"
    done = shell.plays("preview", drifted()).run("preview")
    assert done.returncode == 2
    assert '  !! deploy: key "evil" added — up removes it\n' in done.stdout
    assert done.stdout.endswith("\nDetails: portcullis preview --stack prod --details\n")
    done = shell.plays("preview", Stream().said("web1: nothing answers"), 255).run("preview")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "error: web1: nothing answers\n")
    assert shell.run("preview", "--help").stdout.count("Exit code: 0 if nothing differs, 2") == 1


def test_flags_of_pulumi_are_passed_on_in_the_working_folder(shell: Shell) -> None:
    shell.plays("preview", quiet()).run("preview", "-s", "prod", "--policy-pack", "policy", "--details")
    given = ["preview", "--stack", "prod", "--policy-pack", "policy"]
    assert shell.calls == [[*given, "--json", "--non-interactive", "--color", "never"]]
    call = json.loads((shell.folder / "calls").read_text())
    assert (call["cwd"], call["streams"]) == (str(shell.project), "1")


def test_a_fault_of_the_settings_file_has_the_form_of_all_faults(shell: Shell) -> None:
    said = (
        "error: could not unmarshal '/home/me/shop/Pulumi.prod.yaml': "
        "yaml: line 12: did not find expected key\n"
    )
    done = shell.plays("preview", Stream(), 255, said).run("preview")
    assert done.returncode == 1
    assert done.stderr == (
        "error: The settings of this stack have a fault:\n"
        "  Pulumi.prod.yaml, line 12: is not YAML: did not find expected key\n"
    )
    said = "error: getting stack configuration: invalid YAML file: yaml: line 35: no mapping here\n"
    done = shell.plays("preview", Stream(), 255, said).run("preview", "--stack", "prod")
    assert done.stderr.endswith("\n  Pulumi.prod.yaml, line 35: is not YAML: no mapping here\n")
    said = "error: Stack 'prod' with configuration key 'portcullis:hosts' must be of type 'object'\n"
    done = shell.plays("preview", Stream(), 255, said).run("preview")
    assert done.stderr.endswith("\n  portcullis:hosts: must be a map, with a line for each entry\n")


def test_an_engine_that_fails_without_a_message_is_an_error(shell: Shell) -> None:
    done = shell.plays("preview", drifted(), 1).run("preview")
    assert (done.returncode, done.stderr) == (1, "error: pulumi preview ended with exit code 1\n")


def test_with_json_standard_output_has_nothing_else(shell: Shell) -> None:
    done = shell.plays("preview", drifted()).run("preview", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["result"] == "differences"
    done = shell.plays("preview", Stream().said("no"), 255).run("preview", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["errors"] == ["no"]


def test_drift_shows_changes_by_hand_and_counts_the_rest(shell: Shell) -> None:
    more = {**FILE, "path": "/etc/issue"}
    both = changed().thing("File", "issue", more, more, {**more, "content": "mine\n"})
    done = shell.plays("preview", both).run("drift", "--stack", "prod", "--target", "x")
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout == (
        "web1: 1 change made by hand, 1 change in your code (0 s)\n"
        "   ! /etc/motd: text differs — up fixes it\n"
        "Details: portcullis drift --stack prod --details\n"
    )
    # `drift` always reads the hosts, whatever Pulumi.yaml says.
    assert shell.calls[0][:6] == ["preview", "--stack", "prod", "--refresh", "--target", "x"]
    done = shell.run("drift", "--json")
    assert done.returncode == 2
    assert [one["subject"] for one in json.loads(done.stdout)["differences"]] == ["/etc/motd"]


def test_exit_codes_of_drift(shell: Shell) -> None:
    mine = Stream().thing("File", "motd", FILE, FILE, {**FILE, "content": "mine\n"})
    done = shell.plays("preview", mine).run("drift")
    title = "web1: 0 changes made by hand, 1 change in your code (0 s)\n"
    assert (done.returncode, done.stdout) == (0, title)
    assert json.loads(shell.run("drift", "--json").stdout)["result"] == "same"
    done = shell.plays("preview", quiet()).run("drift")
    assert (done.returncode, done.stdout) == (0, "web1: no differences in 1 resource (0 s)\n")
    done = shell.plays("preview", Stream().said("web1: nothing answers"), 255).run("drift")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "error: web1: nothing answers\n")
    assert shell.run("drift", "--help").stdout.count("Exit code 0: nothing was changed by hand.") == 1


def test_drift_counts_only_differences_that_follow_from_changes_by_hand(shell: Shell) -> None:
    service = {"unit": "nginx.service", "stale": False}
    stale = changed().thing("Service", "nginx", service, {**service, "stale": True}, service)
    said = shell.plays("preview", stale).run("drift").stdout
    assert "1 more difference follows from these" in said
    assert said == shell.run("preview").stdout.replace("portcullis preview", "portcullis drift")
    # The change by hand is shown even if it follows from a change in the code.
    mine = {**FILE, "content": "mine\n"}
    ours = Stream().thing("File", "motd", FILE, FILE, mine)
    alone = ours.thing("Service", "nginx", service, {**service, "stale": True}, service)
    done = shell.plays("preview", alone).run("drift")
    assert done.returncode == 2
    assert "nginx" in done.stdout.splitlines()[1]


def test_up_with_nothing_to_do_is_one_line_and_changes_nothing(shell: Shell) -> None:
    done = shell.plays("preview", quiet()).run("up", "--yes")
    assert (done.returncode, done.stdout) == (0, "web1: no differences in 1 resource (0 s)\n")
    assert [call[0] for call in shell.calls] == ["preview"]


def test_up_shows_the_differences_ticks_them_off_and_ends_with_the_sites(shell: Shell) -> None:
    served = {"unit": "nginx.service", "sites": {"shop.example.com": "served"}}
    served["probes"] = {"shop.example.com": {"tls": True}}  # type: ignore[assignment]
    done = (
        shell.plays("preview", changed())
        .plays("up", changed().thing("ServedSites", "s", served, served, served))
        .run("up", "--yes")
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "web1: 1 change made by hand, 0 changes in your code (0 s)\n"
        "   ! /etc/motd: text differs — up fixes it\n"
        "   ! ✓ /etc/motd: text differs — 0.0 s\n"
        "web1: 1 done in 0 s\n"
        "  https://shop.example.com\n"
    )
    assert shell.calls[1][:3] == ["up", "--yes", "--skip-preview"]


def test_up_ticks_off_a_stopped_app_once(shell: Shell) -> None:
    said = shell.plays("preview", stopped()).plays("up", stopped()).run("up", "--yes").stdout
    assert said.count("✓") == 1
    assert "   ! ✓ api: the container of its release is exited 0 — 0.0 s\n" in said


def test_up_says_nothing_of_a_former_release_that_it_is_about_to_remove(shell: Shell) -> None:
    none: dict[str, Any] = {name: {} for name in MAPS}
    live = {**none, "docker": {"container api-1": STILL_SERVES}}
    shell.plays("preview", changed().thing("Inventory", "i", none, live, none))
    said = shell.plays("up", changed().thing("Inventory", "i", none, live, none)).run("up", "--yes").stdout
    assert said.count(STILL_SERVES) == 1, "in the preview"
    assert said.count("✓") == 1


def test_a_difference_that_is_new_since_the_preview_is_marked(shell: Shell) -> None:
    late = changed().thing("File", "new", FILE, {**FILE, "mode": "0600"}, FILE)
    said = shell.plays("preview", changed()).plays("up", late).run("up", "--yes").stdout
    assert "✓ /etc/motd: mode 0600, declared 0644" in said
    assert said.count("(new since the preview)") == 1


def test_a_replacement_that_cannot_be_created_has_failed(shell: Shell) -> None:
    """The engine deletes the former one first. Then it reports `replace`, before it creates the new one."""
    old, new = {**FILE, "host": "web1"}, {**FILE, "host": "web1", "path": "/etc/issue"}
    stream, kind = Stream(), "portcullis:index:File"
    for stage, op in (
        ("resOutputsEvent", "delete-replaced"),
        ("resOutputsEvent", "replace"),
        ("resourcePreEvent", "create-replacement"),
        ("resOpFailedEvent", "create-replacement"),
    ):
        stream.event(stage, op, kind, "motd", old, None if op == "delete-replaced" else new, {"path": {}})
    done = shell.plays("up", stream.said("the disk is full"), 255).run("up", "--yes", "--skip-preview")
    assert done.returncode == 1
    assert "✗ /etc/issue: " in done.stdout
    assert "✓" not in done.stdout


def test_up_leaves_undeclared_things_and_lists_them(shell: Shell) -> None:
    maps: dict[str, dict[str, str]] = {"listeners": {}, "published": {}, "passes": {}, "networks": {}}
    live = {**maps, "published": {"tcp4 172.17.0.1:3306": 'container "leak"'}}
    stream = changed().thing("Exposure", "e", maps, live, maps, live)  # after the `up`, it is still there
    said = shell.plays("preview", stream).plays("up", stream).run("up", "--yes").stdout
    assert said.endswith(
        "web1: 1 done in 0 s\n"
        "left as it is, for you to decide:\n"
        '  !! tcp4 172.17.0.1:3306: published by container "leak" — remove it yourself: docker rm -f leak\n'
    )
    only = Stream().thing("Exposure", "e", maps, live, maps)
    (shell.folder / "calls").unlink()
    assert shell.plays("preview", only).run("up", "--yes").returncode == 0
    assert [call[0] for call in shell.calls] == ["preview"], "up has nothing to do"


def test_up_lists_nothing_that_it_took_into_use(shell: Shell) -> None:
    """A container of an `up` that failed is undeclared, until the next `up` records it and nginx uses it."""
    none: dict[str, Any] = {name: {} for name in MAPS}
    live = {**none, "docker": {"container api-2": "may be left by an `up` that failed"}}
    stream = changed().thing("Inventory", "i", none, live, none)
    said = shell.plays("preview", changed()).plays("up", stream).run("up", "--yes").stdout
    assert "api-2" not in said
    still = changed().thing("Inventory", "i", none, live, none, live)
    said = shell.plays("up", still).run("up", "--yes").stdout
    assert "  ! container api-2: may be left by an `up` that failed" in said


def test_a_failed_up_lists_changes_by_hand_before_the_error(shell: Shell) -> None:
    stream = changed().said('web1: Service "nginx" (nginx.service): the reload failed', name="nginx")
    done = shell.plays("preview", changed()).plays("up", stream, 255).run("up", "--yes")
    assert done.returncode == 1
    assert done.stderr == (
        "changed by hand before this up: /etc/motd: text differs\n"
        'error: web1: Service "nginx" (nginx.service): the reload failed\n'
    )


def test_up_asks(shell: Shell) -> None:
    shell.plays("preview", changed()).plays("up", changed())
    code, said = shell.asked("up", answer="no")
    assert code == 2
    assert "Nothing was changed." in said
    assert [call[0] for call in shell.calls] == ["preview"]
    code, said = shell.asked("up", answer="details\nyes")
    assert code == 0, said
    assert "-two" in said
    assert "✓ /etc/motd: text differs" in said
    assert [call[0] for call in shell.calls] == ["preview", "preview", "up"]


def test_without_a_terminal_up_needs_yes(shell: Shell) -> None:
    done = shell.plays("preview", changed()).run("up")
    assert (done.returncode, done.stdout) == (1, "")
    assert "add --yes" in done.stderr
    assert not (shell.folder / "calls").exists()


def test_up_for_programs(shell: Shell) -> None:
    done = shell.plays("preview", changed()).plays("up", changed()).run("up", "--yes", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["differences"][0]["subject"] == "/etc/motd"
    assert "✓ /etc/motd" in done.stderr
