"""Build commands from the pinned Go modules under tools/go.

Each of those modules has a `tool` directive for the command and a committed go.sum. So a build uses exactly
the tested sources. This module imports the standard library only.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tools.steps import StepError, ask, cache, locked, step

if TYPE_CHECKING:
    from collections.abc import Sequence

_OLDEST = (1, 21)  # the first version of Go that can fetch a newer toolchain by itself
_USUAL_PLACES = ("/usr/local/go/bin/go", "/usr/lib/go/bin/go")
ABSENT = "the Pulumi engine and the lab's MongoDB are built with it."
ADVICE = (
    "Install Go 1.25 or newer from https://go.dev/dl (unpacked to /usr/local/go it is found by itself), "
    "or, on Debian 13, `apt-get install golang-go`: any Go from 1.21 on fetches the newer one it needs. "
    "An official Pulumi (https://www.pulumi.com/docs/install) needs no Go; the lab's MongoDB does."
)


def required(module: Path, dependency: str) -> str:
    """Return the version of `dependency` that `module` requires, without "v".

    Raises:
        StepError: the module's go.mod does not name the dependency.

    """
    found = re.search(
        rf"^\s*(?:require )?{re.escape(dependency)} v(\S+)", (module / "go.mod").read_text(), re.MULTILINE
    )
    if found is None:
        raise StepError(f"the file {module / 'go.mod'} does not require the Go module {dependency}.")
    return found.group(1)


def language(module: Path) -> str:
    """Return the version of Go that `module` is written in, such as "1.26"."""
    return ".".join(map(str, _numbers((module / "go.mod").read_text(), r"^go (\S+)")[:2]))


def build(
    module: Path, package: str, output: Path, *, title: str, ldflags: str = "-s -w", flags: Sequence[str] = ()
) -> None:
    """Build `package`, a tool of `module`, to `output`, as a static program without paths of this machine.

    `flags` are further flags of `go build`.

    Raises:
        StepError: Go is missing or too old, a module could not be fetched, or the package does not compile.

    """
    go, env = toolchain(module)
    # -v prints a line for each compiled package. We show the number of lines as progress.
    common = ["-v", "-trimpath", "-buildvcs=false", "-ldflags", ldflags, *flags]
    step(
        title,
        [go, "build", *common, "-o", str(output), package],
        cwd=module,
        env=env,
        counted="packages fetched or compiled",
        hint="The modules come from the Go module proxy (`go env GOPROXY`): is it reachable?",
    )


def tool(module: Path, package: str, *, flags: Sequence[str] = ()) -> Path:
    """Return the program of `package`, a tool of `module`.

    The first call builds the program into the cache. `flags` are further flags of `go build`. If a flag
    occurs twice, the last one counts.

    Raises:
        StepError: Go is missing or too old, a module could not be fetched, or the package does not compile.

    """
    digest = hashlib.sha256(" ".join([platform.machine(), *flags]).encode())
    for name in ("go.mod", "go.sum"):
        digest.update((module / name).read_bytes())
    program = cache() / module.name / digest.hexdigest()[:16] / package.rpartition("/")[2]
    if not program.exists():
        with locked(program.parent.parent, program.name):
            if not program.exists():
                program.parent.mkdir(exist_ok=True)
                fresh = program.with_suffix(".building")
                build(module, package, fresh, title=f"building {program.name}", flags=flags)
                fresh.rename(program)
    return program


def vendor(module: Path) -> Path:
    """Copy all packages that `module` needs into its folder `vendor`, and return that folder.

    Raises:
        StepError: Go is missing or too old, or a module could not be fetched.

    """
    go, env = toolchain(module)
    step(
        f"fetching the modules of {module.name}",
        [go, "mod", "vendor"],
        cwd=module,
        env=env,
        hint="The modules come from the Go module proxy (`go env GOPROXY`): is it reachable?",
    )
    return module / "vendor"


def folder(module: Path, dependency: str) -> Path:
    """Return the folder in which Go keeps the sources of `dependency` of `module`.

    Raises:
        StepError: Go does not name the folder.

    """
    go, env = toolchain(module)
    answer = ask([go, "list", "-m", "-f", "{{.Dir}}", dependency], cwd=module, env=env, limit=300)
    if answer.returncode != 0 or not answer.stdout.strip():
        raise StepError(f"the command `go list -m {dependency}` failed in {module}: {answer.stderr.strip()}")
    return Path(answer.stdout.strip())


def usable() -> bool:
    """Return whether this machine has a Go that is new enough or can fetch a newer version."""
    go = _find()
    return go is not None and _version(go) >= _OLDEST


def new_enough(debian_version: str) -> bool:
    """Return whether Debian's package of this version has a Go that we can use."""
    return _numbers(debian_version, r"^(?:\d+:)?(\d\S*)") >= _OLDEST


def describe() -> str:
    """Describe this machine's Go for people."""
    go = _find()
    return "none" if go is None else f"{_text(_version(go))} ({go})"


def _find() -> str | None:
    return shutil.which("go") or next((place for place in _USUAL_PLACES if os.access(place, os.X_OK)), None)


def toolchain(module: Path) -> tuple[str, dict[str, str]]:
    """Return the go command, and the variables that it needs to build `module`.

    Raises:
        StepError: Go is missing or too old.

    """
    go = _find()
    if go is None:
        raise StepError(f"Go 1.25 or newer is missing on this machine: {ABSENT} {ADVICE}")
    version = _version(go)
    if version < _OLDEST:
        raise StepError(
            f"building {module.name} needs Go 1.25 or newer, but {go} is {_text(version)}. {ADVICE}"
        )
    enough = version >= _numbers((module / "go.mod").read_text(), r"^go (\S+)")
    return go, {
        "CGO_ENABLED": "0",  # with this setting, no C compiler is needed
        "GOFLAGS": "",  # the user's flags, such as -mod=vendor, are for other modules
        "GOWORK": "off",
        # Debian's Go and some images set "local". "auto" fetches the Go version that go.mod requires.
        "GOTOOLCHAIN": "local" if enough else "auto",
    }


def _version(go: str) -> tuple[int, ...]:
    return _numbers(ask([go, "version"], env={"GOTOOLCHAIN": "local"}).stdout, r"\bgo(\d\S*)")


def _numbers(text: str, pattern: str) -> tuple[int, ...]:
    found = re.search(pattern, text, re.MULTILINE)
    return tuple(int(part) for part in re.findall(r"\d+", found.group(1))[:3]) if found else (0,)


def _text(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)
