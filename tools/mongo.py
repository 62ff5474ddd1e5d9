"""Build the stand-ins for MongoDB's programs, which no package registry has: the lab's image is made of them.

The server is FerretDB on SQLite, from the Go module proxy (tools/go/ferretdb), with a few lines changed so
that roles count: `roles.patch` and `authorize.go.txt` there. One program of our own (tools/go/mongo-tools)
takes the place of mongodump, mongorestore and mongosh.

Standard library only, like everything in tools/.
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
_RECIPE = "1"  # raise it when what is built changes but no file under tools/go does


def server() -> Path:
    """Return the server's program, building it when it is not there.

    Raises:
        StepError: Go is missing or too old, a module could not be fetched, or it does not compile.

    """
    return _once(_place("ferretdb", _SERVER), _build_server)


def programs() -> Path:
    """Return the program that is mongodump, mongorestore or mongosh, by the name it is started by.

    Raises:
        StepError: see `server`.

    """
    return _once(_place("mongo-tools", _PROGRAMS), _build_programs)


def built() -> bool:
    """Return whether both are there, so that no Go is needed."""
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
    # Without its own version the program ends in a panic; its releases write the file while building.
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
    # The ceiling: in a repository that the cache may lie in, git would pass over files outside its folder.
    ceiling = {"GIT_CEILING_DIRECTORIES": str(folder.parent)}
    done = ask(["git", "apply", str(patch)], cwd=folder, env=ceiling)
    if done.returncode != 0:
        raise StepError(f"{patch.name} does not apply to FerretDB: {done.stderr.strip()}")
