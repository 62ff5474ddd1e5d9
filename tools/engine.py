"""Find or build the Pulumi engine, and print the environment that a command needs to use it.

If an official Pulumi is installed, we use it. Without an official Pulumi, we build the command line and the
Python language host from the Go module proxy. The modules under tools/go pin the versions of both.

- `tools/engine.py ensure`: find the engine, or build it
- `tools/engine.py env`: print the environment as shell exports
- `tools/engine.py env --json`: print it as one JSON object
- `tools/engine.py doctor`: show what is used and where it is

This script imports the standard library only, because it runs with the machine's own Python, before a virtual
environment exists.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

if not __package__:  # started by path, from any folder
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools import golang, plugins
from tools.steps import ROOT, StepError, ask, cache, locked, reported, say

OLDEST_OFFICIAL = (3, 216)  # the first version with `options: refresh: always` and PULUMI_RUN_PROGRAM
_RECIPE = "1"  # part of the key of a built engine: raise it when the build changes but no module does
_CLI = ROOT / "tools" / "go" / "pulumi"
_HOST = ROOT / "tools" / "go" / "pulumi-language-python"
_SDK = "github.com/pulumi/pulumi/sdk/v3"
_HOST_SCRIPTS = (
    "python/cmd/pulumi-language-python-exec",
    "python/dist/pulumi-analyzer-policy-python",
)
# This passphrase is for the stack lab only. The secrets of that stack belong to a disposable host, so a fixed
# word is enough.
_LAB_PASSPHRASE = "portcullis-lab"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Engine:
    """A Pulumi command line with its Python language host. `folder` has to be on PATH."""

    version: str
    folder: Path
    official: bool

    def __str__(self) -> str:
        """Return one line about this engine."""
        origin = "official" if self.official else "built from its Go modules"
        return f"pulumi {self.version} ({origin}, {self.folder})"


def find_official(search: str) -> Engine | None:
    """Return the first usable official Pulumi in `search` (in the form of PATH), or None if there is none."""
    ours = cache() / "engine"
    for folder in dict.fromkeys(Path(entry) for entry in search.split(os.pathsep) if entry):
        pulumi = folder / "pulumi"
        if (
            not os.access(pulumi, os.X_OK)
            or not pulumi.is_file()
            or pulumi.resolve().is_relative_to(ours.resolve())
        ):
            continue
        version = _known_version(pulumi)
        host = shutil.which("pulumi-language-python", path=f"{pulumi.resolve().parent}{os.pathsep}{search}")
        if _numbers(version) < OLDEST_OFFICIAL:
            told = version or "no Pulumi that runs"
            say(f"note: {pulumi} is {told}, so it is not used: 3.216 or newer is needed")
        elif host is None:
            say(f"note: {pulumi} has no pulumi-language-python beside it, so it is not used")
        else:
            return Engine(version, folder, official=True)
    return None


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"(\d+)\.(\d+)", version)
    return tuple(int(part) for part in found.groups()) if found else ()


def _known_version(pulumi: Path) -> str:
    """Return a program's version, or "" if the program does not run.

    The answer is kept, because each run takes 0.1 s.
    """
    facts = pulumi.stat()
    key = hashlib.sha256(f"{pulumi} {facts.st_ino} {facts.st_mtime_ns} {facts.st_size}".encode())
    note = cache() / "versions" / key.hexdigest()[:16]
    known = note.read_text() if note.exists() else ""
    if not known:  # the note may be damaged while another process writes it
        known = _version(pulumi)
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(known)
    return known


def _version(pulumi: Path) -> str:
    answer = ask([str(pulumi), "version"], env={"PULUMI_SKIP_UPDATE_CHECK": "1"})
    return answer.stdout.strip().removeprefix("v") if answer.returncode == 0 else ""


def built() -> Path:
    """Return the folder for the engine that is built from tools/go. The folder may be missing."""
    digest = hashlib.sha256(f"{_RECIPE} {platform.system()} {platform.machine()}".encode())
    for module in (_CLI, _HOST):
        for name in ("go.mod", "go.sum"):
            digest.update((module / name).read_bytes())
    return cache() / "engine" / digest.hexdigest()[:16] / "bin"


def find() -> Engine | None:
    """Return the engine to use, or None if this machine has no engine.

    An official engine is preferred to an engine that we built.
    """
    official = find_official(os.environ.get("PATH", ""))
    if official is not None:
        return official
    if (built() / "pulumi").exists():
        return Engine(golang.required(_CLI, "github.com/pulumi/pulumi/pkg/v3"), built(), official=False)
    return None


def ensure() -> Engine:
    """Return the Pulumi engine.

    Build the engine if this machine has none.

    Raises:
        StepError: Go is missing or too old, a module could not be fetched, or the build failed.

    """
    engine = find()
    if engine is None:
        with locked(cache() / "engine", "the Pulumi engine"):
            engine = find()  # the process that we waited for may have built it
            if engine is None:
                build(built().parent)
                engine = find()
    if engine is None:
        raise StepError(
            f"the built engine {built()} has disappeared: check whether another program deletes files of the "
            "cache"
        )
    return engine


def build(target: Path) -> None:
    """Build the command line and the language host.

    Both programs are moved to `target` together, after the built Pulumi has reported the expected version.

    Raises:
        StepError: for the same reasons as in `ensure`.

    """
    target.parent.mkdir(parents=True, exist_ok=True)
    version = golang.required(_CLI, "github.com/pulumi/pulumi/pkg/v3")
    with tempfile.TemporaryDirectory(prefix="building-", dir=target.parent) as scratch:
        binaries = Path(scratch) / "engine" / "bin"
        binaries.mkdir(parents=True)
        golang.build(
            _CLI, "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi", binaries / "pulumi",
            title=f"building pulumi {version}: 3 to 6 minutes on two cores, once",
            ldflags=f"-s -w -X {_SDK}/go/common/version.Version={version}",
        )  # fmt: skip
        golang.build(
            _HOST, f"{_SDK}/python/cmd/pulumi-language-python", binaries / "pulumi-language-python",
            title=f"building its Python language host (sdk {golang.required(_HOST, _SDK)})",
        )  # fmt: skip
        sdk = golang.folder(_HOST, _SDK)
        for script in _HOST_SCRIPTS:
            copy = binaries / Path(script).name
            shutil.copyfile(sdk / script, copy)
            copy.chmod(0o755)
        told = _version(binaries / "pulumi")
        if told != version:
            raise StepError(
                f"the built engine reports version {told!r} instead of {version!r}, so it is not used."
            )
        binaries.parent.rename(target)


def environment(engine: Engine) -> dict[str, str]:
    """Return the variables that a command needs to work on the stack lab with `engine`.

    PATH begins with our command, the virtual environment (the language host runs its `python3`) and the
    engine. The machine's own folders follow, and then the stand-ins for plugins that are not installed. So an
    installed plugin is always preferred to a stand-in. This function makes the folder for the state, because
    Pulumi does not.
    """
    state = ROOT / ".pulumi-state"
    state.mkdir(exist_ok=True)
    own = {ROOT / "bin", ROOT / ".venv" / "bin", plugins.FOLDER}
    inherited = [
        entry
        for entry in os.environ.get("PATH", "").split(os.pathsep)
        if entry and Path(entry) not in own and not Path(entry).is_relative_to(cache() / "engine")
    ]
    home = _pulumi_home(engine)
    standing_in = plugins.stand_ins(home, os.pathsep.join([str(engine.folder), *inherited]))
    path = [
        str(ROOT / "bin"),
        str(ROOT / ".venv" / "bin"),
        *([] if engine.official else [str(engine.folder)]),
        *inherited,
        *([str(plugins.FOLDER)] if standing_in else []),
    ]
    return {
        "PATH": os.pathsep.join(path),
        "PULUMI_BACKEND_URL": state.as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": _LAB_PASSPHRASE,
        "PULUMI_HOME": str(home),
        "PULUMI_RUN_PROGRAM": "true",
        "PULUMI_SKIP_UPDATE_CHECK": "1",
        # If Python could not keep compiled files, each preview would compile 400 files again.
        "PYTHONDONTWRITEBYTECODE": "",
    }


def _pulumi_home(engine: Engine) -> Path:
    """Return the user's own Pulumi home where plugins may be installed, else one of ours in the cache."""
    named = os.environ.get("PULUMI_HOME")
    if named:
        return Path(named)
    users = Path.home() / ".pulumi"
    return users if engine.official or (users / "plugins").is_dir() else cache() / "pulumi-home"


def report(engine: Engine) -> None:
    """Print the engine that is used, install the plugins that it can install, and list the stand-ins."""
    say(f"engine: {engine}")
    plugins.prepare(_pulumi_home(engine), engine.folder / "pulumi" if engine.official else None)


def _doctor() -> None:
    engine = find()
    print(f"engine    {engine or 'none yet: make setup'}")
    print(f"go        {golang.describe()}")
    print(f"python    {platform.python_version()} ({sys.executable})")
    print(f"cache     {cache()}")
    if engine is not None:
        home = _pulumi_home(engine)
        for plugin, place in plugins.origins(home, os.environ.get("PATH", "")).items():
            print(f"plugin    {plugin}: {place}")


def main() -> None:
    """Run one verb of the command line."""
    parser = argparse.ArgumentParser(prog="tools/engine.py", description="Find or build the Pulumi engine.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("ensure", help="find the engine, or build it")
    env = verbs.add_parser("env", help="print the environment that commands need")
    env.add_argument("--json", action="store_true", help="as one JSON object instead of shell exports")
    verbs.add_parser("doctor", help="show what is used and where it is")
    chosen = parser.parse_args()
    # The end of a test run ends the build too. This way, the build removes what is half done.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with reported():
        if chosen.verb == "ensure":
            report(ensure())
        elif chosen.verb == "env":
            ready = find()
            if ready is None:
                raise StepError("there is no Pulumi engine yet: run `make setup`.")
            variables = environment(ready)
            if chosen.json:
                print(json.dumps(variables))
            else:
                print("\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items()))
        else:
            _doctor()


if __name__ == "__main__":
    main()
