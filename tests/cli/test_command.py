"""The command `portcullis`: its verbs, its search for the project, and Pulumi's environment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from portcullis.cli.main import OURS, PULUMI
from portcullis.printable import MARK

ROOT = Path(__file__).resolve().parents[2]
FIRST = ("init", "preview", "up", "drift")
_TELLS = """\
import json, os, sys
if sys.argv[1:3] == ["stack", "--show-name"]:
    print("dev")
    sys.exit()
seen = {name: os.environ[name] for name in ("PULUMI_RUN_PROGRAM", "PATH")}
with open(os.environ["TOLD"], "w") as told:
    json.dump({"argv": sys.argv[1:], "folder": os.getcwd(), **seen}, told)
sys.exit(7)
"""
# Runs a program on a terminal of its own, and types an answer when the program asks.
_TERMINAL = """\
import os, pty, sys
process, terminal = pty.fork()
if process == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
said = b""
try:
    while piece := os.read(terminal, 1024):
        said += piece
        if said.endswith(b"yes or no: "):
            os.write(terminal, sys.argv[1].encode())
except OSError:
    pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
"""


class Shell:
    """A shell in a temporary project. Its Pulumi records how it was called."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "project"
        self.below = self.project / "a/b"
        self.below.mkdir(parents=True)
        (self.project / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
        self.bin = folder / "bin"
        self.bin.mkdir()
        pulumi = self.bin / "pulumi"
        pulumi.write_text(f"#!{sys.executable}\n{_TELLS}")
        pulumi.chmod(0o755)
        self._told = folder / "told.json"
        self.env = {
            "PATH": f"{self.bin}:/usr/bin:/bin", "PYTHONPATH": str(ROOT), "TOLD": str(self._told),
            "LANG": "C.UTF-8",
        }  # fmt: skip

    def run(self, *words: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run the command in a folder. By default, use a folder inside the project."""
        return self.start(sys.executable, "-m", "portcullis", *words, folder=folder)

    def start(self, *argv: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run any program in a folder."""
        return subprocess.run(
            argv, cwd=folder or self.below, env=self.env, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, check=False, timeout=60,
        )  # fmt: skip

    @property
    def told(self) -> dict[str, str]:
        """How Pulumi was called."""
        found: dict[str, str] = json.loads(self._told.read_text())
        return found


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_help_has_a_line_for_each_verb(shell: Shell) -> None:
    shell.env["COLUMNS"] = "110"
    said = shell.run("--help").stdout.splitlines()
    assert [line.split()[0] for line in said if line.startswith("    ")] == [
        *FIRST, *PULUMI, *(verb for verb in OURS if verb not in FIRST)
    ]  # fmt: skip


@pytest.mark.parametrize("verb", OURS)
def test_each_verb_has_a_help_text(shell: Shell, verb: str) -> None:
    done = shell.run(verb, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: portcullis {verb} ")
    assert done.stdout.split("\n\n")[1][0].isupper()


@pytest.mark.parametrize("verb", PULUMI)
def test_a_verb_of_pulumi_gets_its_flags_and_its_environment(shell: Shell, verb: str) -> None:
    done = shell.run(verb, "--stack", "prod", "--diff", "--help")
    assert done.returncode == 7, "Pulumi's exit code is passed on"
    told = shell.told
    assert told["argv"] == [verb, "--stack", "prod", "--diff", "--help"]
    assert told["PULUMI_RUN_PROGRAM"] == "true"
    assert told["PATH"].split(":")[0] == str(Path(sys.executable).parent), "Pulumi starts our own python3"
    # Paths in flags, such as --policy-pack and --save-plan, are relative to the folder they were typed in.
    assert told["folder"] == str(shell.below)


_SAYS = """\
#!/bin/sh
echo "$*" >> "$TOLD"
printf 'container \\033[2J\\033]0;title\\a\\n::warning::of the host\\n'
printf 'error: \\302\\233 \\342\\200\\256 \\377\\r::add-mask::x\\n' >&2
exit 7
"""


@pytest.mark.parametrize("verb", PULUMI)
def test_pulumi_s_own_output_has_no_control_characters(shell: Shell, verb: str) -> None:
    (shell.bin / "pulumi").write_text(_SAYS)
    done = shell.run(verb, "--yes")
    assert done.returncode == 7
    assert done.stdout == f"container {MARK}[2J{MARK}]0;title{MARK}\n{MARK}::warning::of the host\n"
    assert done.stderr == f"error: {MARK} {MARK} {MARK}{MARK}::add-mask::x\n"


@pytest.mark.parametrize(
    ("flags", "has_terminal"),
    [((), True), (("--remove",), True), (("-y",), False), (("--preview-only",), False)],
)
def test_pulumi_has_the_terminal_only_if_it_may_ask(
    shell: Shell, flags: tuple[str, ...], *, has_terminal: bool
) -> None:
    (shell.bin / "pulumi").write_text('#!/bin/sh\n[ -t 1 ] && on=terminal\necho "$* $on" >> "$TOLD"\n')
    words = [sys.executable, "-m", "portcullis", "destroy", *flags]
    assert shell.start(sys.executable, "-c", _TERMINAL, "", *words).returncode == 0
    told = " ".join(["destroy", *flags, *["terminal"] * has_terminal])
    assert Path(shell.env["TOLD"]).read_text().strip() == told


def test_a_variable_that_the_user_has_set_stays(shell: Shell) -> None:
    shell.env["PULUMI_RUN_PROGRAM"] = "false"
    shell.run("destroy")
    assert shell.told["PULUMI_RUN_PROGRAM"] == "false"


def test_a_verb_works_on_the_project_that_contains_the_folder(shell: Shell) -> None:
    assert shell.run("restore", "--host", "web1").stderr == (
        "error: the file .portcullis/dev/ssh_config is missing: `portcullis preview --stack dev` writes it\n"
    )
    assert shell.run("rollback", "--stack", "prod", "api", "--yes").returncode == 1
    assert shell.told["folder"] == str(shell.project)
    assert shell.told["argv"] == ["stack", "export", "--stack", "prod"]


def test_a_path_is_relative_to_the_folder_it_was_typed_in(shell: Shell) -> None:
    exported = {"deployment": {"resources": []}}
    (shell.below / "state.json").write_text(json.dumps(exported))
    assert shell.run("map", "--export", "state.json").stderr == (
        f"error: {shell.below}/state.json has no resources yet: run `up` first, or use --preview\n"
    )


@pytest.mark.parametrize("verb", [*PULUMI, *(verb for verb in OURS if verb != "init")])
def test_without_a_project_it_says_how_to_make_one(shell: Shell, tmp_path: Path, verb: str) -> None:
    required = {
        "password": ["redis"],
        "restore": ["--host=web1"],
        "rollback": ["api"],
        "pipeline": ["watch", "--stack=a"],
    }
    done = shell.run(verb, *required.get(verb, []), folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        f"error: no Pulumi.yaml in {tmp_path} or in a folder above it\n"
        "  -> change to the folder of your project, or run `portcullis init` to write a new project\n"
    )


@pytest.mark.parametrize("flag", [("-C", "project"), ("-Cproject",), ("--cwd=project",)])
def test_pulumi_may_be_given_another_folder(shell: Shell, tmp_path: Path, flag: tuple[str, ...]) -> None:
    assert shell.run("refresh", *flag, folder=tmp_path).returncode == 7


def test_a_missing_pulumi_is_reported(shell: Shell) -> None:
    (shell.bin / "pulumi").unlink()
    for verb, code in (
        ("refresh", 127),
        ("preview", 1),
        ("plan", 1),
        ("map", 2),
        ("policy", 2),
        ("tunnels", 1),
    ):
        done = shell.run(verb)
        assert done.returncode == code, verb
        assert "pulumi is not installed" in done.stderr
        assert "https://www.pulumi.com/docs/install/" in done.stderr


def test_an_interrupt_leaves_no_traceback(shell: Shell) -> None:
    (shell.bin / "pulumi").write_text("#!/bin/sh\nkill -INT $PPID\nsleep 2\n")
    # Background jobs of a shell ignore interrupts, and so do the programs that they start.
    hears = ("env", "--default-signal=INT")
    done = shell.start(*hears, sys.executable, "-m", "portcullis", "map", "--stack", "dev")
    assert done.returncode == 130
    assert "Traceback" not in done.stderr


def test_an_unknown_stack_comes_with_the_command_that_creates_it(shell: Shell) -> None:
    (shell.bin / "pulumi").write_text("#!/bin/sh\necho \"error: no stack named 'prod' found\" >&2\nexit 1\n")
    for verb in ("map", "policy"):
        done = shell.run(verb, "--stack", "prod")
        assert done.returncode != 0
        assert "-> `pulumi stack init prod` creates it" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "the following arguments are required: VERB"),
        (["nonsense"], "invalid choice: 'nonsense'"),
        (["plan", "--nonsense"], "unrecognized arguments: --nonsense"),
        (["--nonsense", "refresh"], "unrecognized arguments: --nonsense"),
    ],
)
def test_a_wrong_command_line_is_reported(shell: Shell, words: list[str], said: str) -> None:
    done = shell.run(*words)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_pipeline_comments_without_any_package(shell: Shell, tmp_path: Path) -> None:
    words = ["pipeline", "comment", "--stack", "prod", "--number", "7", "--out", str(tmp_path)]
    done = shell.start(sys.executable, "-S", "-m", "portcullis", *words)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "neither a GitHub workflow nor a GitLab pipeline" in done.stderr


def test_nothing_is_imported_before_a_verb_needs_it() -> None:
    asked = (
        "import sys; before = set(sys.modules); import portcullis.cli.main; "
        "print(*sorted(one for one in set(sys.modules) - before if one.startswith('portcullis')))"
    )
    done = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        "portcullis", "portcullis.cli", "portcullis.cli.command", "portcullis.cli.main", "portcullis.project",
    ]  # fmt: skip


def test_the_command_of_a_checkout_works_anywhere(shell: Shell) -> None:
    shell.env.pop("PYTHONPATH")
    command = str(ROOT / "bin/portcullis")
    assert shell.start(command, "--version").stdout.startswith("portcullis ")
    (shell.project / "types.py").write_text("raise RuntimeError('this is not the module of Python')\n")
    done = shell.start(command, "refresh", folder=shell.project)
    assert done.returncode == 7, done.stderr
