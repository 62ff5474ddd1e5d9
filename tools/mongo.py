"""Build the stand-ins for MongoDB's programs, which the lab's image needs. No package registry has MongoDB.

The server is FerretDB on SQLite, from the Go module proxy (tools/go/ferretdb). A patch in that folder makes
FerretDB check the roles of users: `roles.patch` and `authorize.go.txt`. One program of our own
(tools/go/mongo-tools) replaces mongodump, mongorestore and mongosh.

This module imports the standard library only, like all modules in tools/.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tools import golang
from tools.steps import ROOT, StepError, ask, cache, locked

if TYPE_CHECKING:
    from collections.abc import Callable

_SERVER = ROOT / "tools" / "go" / "ferretdb"
_PROGRAMS = ROOT / "tools" / "go" / "mongo-tools"
_FERRETDB = "github.com/FerretDB/FerretDB"
_RECIPE = "1"  # raise it when the build changes but no file under tools/go does


def server() -> Path:
    """Return the server's program.

    The first call builds the server.

    Raises:
        StepError: Go is missing or too old, a module could not be fetched, or the server does not compile.

    """
    return _once(_place("ferretdb", _SERVER), _build_server)


def programs() -> Path:
    """Return the program that acts as mongodump, mongorestore or mongosh, depending on its name.

    Raises:
        StepError: for the same reasons as in `server`.

    """
    return _once(_place("mongo-tools", _PROGRAMS), _build_programs)


def built() -> bool:
    """Return whether both programs are built, so that no Go is needed."""
    return _place("ferretdb", _SERVER).exists() and _place("mongo-tools", _PROGRAMS).exists()


def _once(program: Path, build: Callable[[Path, Path], None]) -> Path:
    if not program.exists():
        with locked(program.parent.parent, "the lab's MongoDB"):
            if not program.exists():
                with tempfile.TemporaryDirectory(prefix="building-", dir=program.parent.parent) as scratch:
                    fresh = Path(scratch, "out", program.name)
                    fresh.parent.mkdir()
                    build(Path(scratch), fresh)
                    fresh.parent.rename(program.parent)
    return program


def _place(name: str, module: Path) -> Path:
    digest = hashlib.sha256(f"{_RECIPE} {platform.machine()}".encode())
    for file in sorted(path for path in module.iterdir() if path.is_file()):
        digest.update(file.read_bytes())
    return cache() / "mongo" / f"{name}-{digest.hexdigest()[:16]}" / name


def _build_server(scratch: Path, program: Path) -> None:
    version = golang.required(_SERVER, _FERRETDB)
    module = scratch / _SERVER.name
    shutil.copytree(_SERVER, module)
    sources = golang.vendor(module) / _FERRETDB
    # The program panics without this file, which FerretDB's own releases write at their build.
    (sources / "build/version/version.txt").write_text(f"v{version}\n")
    shutil.copyfile(_SERVER / "authorize.go.txt", sources / "internal/handler/authorize.go")
    _patch(sources, _SERVER / "roles.patch")
    golang.build(
        module, f"{_FERRETDB}/cmd/ferretdb", program,
        title=f"building the lab's MongoDB (FerretDB {version}): about a minute on two cores, once",
        flags=["-mod=vendor", "-tags=ferretdb_no_postgresql"],
    )  # fmt: skip


def _build_programs(_: Path, program: Path) -> None:
    golang.build(_PROGRAMS, ".", program, title="building the lab's mongodump, mongorestore and mongosh")


def _patch(folder: Path, patch: Path) -> None:
    # The cache may be inside a repository. Without the ceiling, git would then ignore these files.
    ceiling = {"GIT_CEILING_DIRECTORIES": str(folder.parent)}
    done = ask(["git", "apply", str(patch)], cwd=folder, env=ceiling)
    if done.returncode != 0:
        raise StepError(f"the patch {patch.name} does not apply to FerretDB: {done.stderr.strip()}")
