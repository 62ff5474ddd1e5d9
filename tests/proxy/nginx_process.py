"""A real nginx with a configuration, on ports 80 and 443 of a network of its own."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.proxy.roots import PLACES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.proxy.roots import Root

# Addresses of that network's only interface: docker0's address, where apps answer, and clients' addresses.
APPS = "172.17.0.1"
VISITOR, NEIGHBOUR, OFFICE, CDN = "198.51.100.7", "198.51.100.8", "203.0.113.7", "192.0.2.9"
_ADDRESSES = (APPS, VISITOR, NEIGHBOUR, OFFICE, CDN)

# Only this process sees the mounts. They end with it.
_START = """
ip link set lo up
for address in $ADDRESSES; do ip address add "$address/32" dev lo; done
for place in $PLACES; do mount --bind "$FILES/$place" "$ROOT/$place"; done
mount --bind /dev "$ROOT/dev"
if [ -n "$PROGRAM" ]; then mount --bind "$PROGRAM" "$ROOT/usr/sbin/nginx"; fi
set -- -c /etc/nginx/nginx.conf -p /usr/share/nginx -e /var/log/nginx/error.log "$@"
exec chroot "$ROOT" /usr/sbin/nginx "$@"
"""


@dataclass(frozen=True, slots=True)
class Files:
    """A root folder with a Debian system, and a folder with files that replace those of the system."""

    root: Root
    folder: Path

    def path(self, inside: str) -> Path:
        """Return the path on this machine of a file that nginx sees as `inside`."""
        return self.folder / inside.lstrip("/")

    def put(self, inside: str, text: str | bytes, mode: int = 0o644) -> None:
        """Write a file."""
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        path.chmod(mode)


def prepare(root: Root, folder: Path, texts: Mapping[str, str | bytes]) -> Files:
    """Return the configuration of nginx's package, with these files added.

    A file with the same path replaces the package's file.
    """
    files = Files(root, folder)
    for place in PLACES:
        files.path(place).mkdir(parents=True, exist_ok=True)
    shutil.copytree(root.folder / "etc/nginx", files.path("etc/nginx"), symlinks=True, dirs_exist_ok=True)
    if not root.modules:
        shutil.rmtree(files.path("etc/nginx/modules-enabled"))
        files.path("etc/nginx/modules-enabled").mkdir()
    for path, text in texts.items():
        files.put(path, text)
    return files


def check(files: Files, *options: str) -> subprocess.CompletedProcess[str]:
    """Run ``nginx -t``, or nginx with other options that make it exit by itself."""
    return subprocess.run(
        _command(*(options or ("-t",))),
        env=_environment(files),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextlib.contextmanager
def running(files: Files) -> Iterator[int]:
    """Run nginx, and give its process id."""
    errors = files.folder / "stderr"
    with errors.open("w") as stream:
        process = subprocess.Popen(
            _command("-g", "daemon off; worker_shutdown_timeout 60s;"),
            env=_environment(files),
            stderr=stream,
        )
        try:
            _wait(process, files)
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], files: Files) -> None:
    """Wait until nginx has written its process id. It listens on all ports before that, one after another."""
    written = files.path("run/nginx.pid")
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if written.exists() and written.read_text() == f"{process.pid}\n":
            return
        time.sleep(0.02)
    log = files.path("var/log/nginx/error.log")
    raise AssertionError((files.folder / "stderr").read_text() + (log.read_text() if log.exists() else ""))


def _command(*options: str) -> list[str]:
    shell = ["sh", "-euc", _START, "nginx", *options]
    return ["unshare", "--net", "--mount", "--propagation", "private", *shell]


def _environment(files: Files) -> dict[str, str]:
    return {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "ADDRESSES": " ".join(_ADDRESSES),
        "PLACES": " ".join(PLACES),
        "FILES": str(files.folder),
        "ROOT": str(files.root.folder),
        "PROGRAM": str(files.root.program or ""),
    }
