"""Find or build the Pulumi engine, and say which environment a command needs to use it.

An official Pulumi that is installed is used as it is. Where there is none, the command line and the Python
language host are built from the Go module proxy, pinned by the modules under tools/go.

    tools/engine.py ensure       find the engine, else build it
    tools/engine.py env          print the environment as shell exports
    tools/engine.py env --json   print it as one JSON object
    tools/engine.py doctor       say what is used and where it is

Standard library only: this runs with the machine's own Python, before any virtual environment exists.
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
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

if not __package__:  # started by path, from any folder
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools import golang, plugins
from tools.steps import ROOT, StepError, ask, cache, locked, reported, say

OLDEST_OFFICIAL = (3, 216)  # `options: refresh: always` together with PULUMI_RUN_PROGRAM
_RECIPE = "1"  # part of the key of a built engine: raise it when what is built changes but no module does
_CLI = ROOT / "tools" / "go" / "pulumi"
_HOST = ROOT / "tools" / "go" / "pulumi-language-python"
_SDK = "github.com/pulumi/pulumi/sdk/v3"
_HOST_SCRIPTS = (
    "python/cmd/pulumi-language-python-exec",
    "python/dist/pulumi-analyzer-policy-python",
)
# Of stack lab only, whose secrets are those of a disposable host: a fixed word needs no keeping.
_LAB_PASSPHRASE = "portcullis-lab"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Engine:
    """A Pulumi command line with its Python language host; `folder` is the one to put on PATH."""

    version: str
    folder: Path
    official: bool

    def __str__(self) -> str:
        """Return the one line that says what is used."""
        origin = "official" if self.official else "built from its Go modules"
        return f"pulumi {self.version} ({origin}, {self.folder})"


def find_official(search: str) -> Engine | None:
    """Return the first good enough official Pulumi in the PATH-like `search`, or None."""
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
            told = version or "not a Pulumi that runs"
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
    """Return a program's version, "" if it does not run. It is asked once: each time takes 0.1 s."""
    facts = pulumi.stat()
    key = hashlib.sha256(f"{pulumi} {facts.st_ino} {facts.st_mtime_ns} {facts.st_size}".encode())
    note = cache() / "versions" / key.hexdigest()[:16]
    known = note.read_text() if note.exists() else ""
    if not known:  # or another process is writing it
        known = _version(pulumi)
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(known)
    return known


def _version(pulumi: Path) -> str:
    answer = ask([str(pulumi), "version"], env={"PULUMI_SKIP_UPDATE_CHECK": "1"})
    return answer.stdout.strip().removeprefix("v") if answer.returncode == 0 else ""


def built() -> Path:
    """Return the folder that the engine of these modules is built into, whether or not it is there yet."""
    digest = hashlib.sha256(f"{_RECIPE} {platform.system()} {platform.machine()}".encode())
    for module in (_CLI, _HOST):
        for name in ("go.mod", "go.sum"):
            digest.update((module / name).read_bytes())
    return cache() / "engine" / digest.hexdigest()[:16] / "bin"


def find() -> Engine | None:
    """Return the engine to use if there is one: an official one first, else the one built before."""
    official = find_official(os.environ.get("PATH", ""))
    if official is not None:
        return official
    if (built() / "pulumi").exists():
        return Engine(golang.required(_CLI, "github.com/pulumi/pulumi/pkg/v3"), built(), official=False)
    return None


def ensure() -> Engine:
    """Return the engine, building it when there is none.

    Raises:
        StepError: Go is missing or too old, a module could not be fetched, or the build failed.

    """
    engine = find()
    if engine is None:
        with locked(cache() / "engine", "the Pulumi engine"):
            engine = find()  # made by the process we waited for?
            if engine is None:
                build(built().parent)
                engine = find()
    if engine is None:
        raise StepError(f"the engine was built but {built()} is not there: is something cleaning the cache?")
    return engine


def build(target: Path) -> None:
    """Build command line and language host, and let them appear at `target` only when both run.

    Raises:
        StepError: see `ensure`.

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
                f"the engine that was built says it is {told!r} and not {version!r}: it is not used."
            )
        binaries.parent.rename(target)


def environment(engine: Engine) -> dict[str, str]:
    """Return the variables that a command needs to work on stack lab with `engine`.

    PATH order: our command, the virtual environment (the language host runs its `python3`), the engine, the
    machine's own, and last the stand-ins of plugins that are not installed: an installed one always wins.
    The folders it names are made: Pulumi does not make the one for its state.
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
        # Where Python may not keep what it compiled, each preview compiles 400 files anew.
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
    """Install the plugins that an official engine can; say which engine is used and what stands in."""
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
    verbs.add_parser("ensure", help="find the engine, else build it")
    env = verbs.add_parser("env", help="print the environment that commands need")
    env.add_argument("--json", action="store_true", help="as one JSON object instead of shell exports")
    verbs.add_parser("doctor", help="say what is used and where it is")
    chosen = parser.parse_args()
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
