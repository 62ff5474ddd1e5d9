"""Measures many sites on one host: the time to render their files, to test them, and to reload."""

from __future__ import annotations

import os
import signal
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import BenchmarkError
from benchmarks.processes import children
from portcullis.components.nginx import render as nginx
from portcullis.components.nginx.args import CorsArgs
from tests.golden.nginx_sites import a_site
from tests.proxy import catalogue, namespace, nginx_process
from tests.proxy.certificates import issue

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.proxy.roots import Root

SITES = 200
_ROUNDS = 7
_NUMBER = "number.example.com"
_NUMBER_PATH = f"{nginx.CONF_D}/number.conf"
_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Sites:
    """The measured times of all rounds in seconds, and the memory in bytes."""

    rendering: Sequence[float]
    testing: Sequence[float]
    testing_none: Sequence[float]
    """The seconds of ``nginx -t`` with the packaged files only, which is the cost of its start."""
    reloading: Sequence[float]
    """The seconds from the signal for a reload to the first answer of a new worker."""
    memory: int
    """The proportional set size of nginx's master process and all workers together."""


def sites() -> list[nginx.Site]:
    """Return 200 sites: 120 apps that other origins may read, 60 with files and an app, 20 redirects."""
    app = nginx.Upstream(nginx_process.APPS, 2019)
    found = []
    for number in range(SITES):
        name = f"customer-{number}.shops.example.com"
        certificate = nginx.KeyPair(
            f"/etc/letsencrypt/live/{name}/fullchain.pem", f"/etc/letsencrypt/live/{name}/privkey.pem"
        )
        match number % 10:
            case 0:
                site = a_site(name, redirect="https://www.example.com", certificate=certificate)
            case 1 | 2 | 3:
                site = a_site(
                    name,
                    {"/api/": app},
                    root=f"/var/www/{name}",
                    spa=True,
                    redirect_from=(f"www.{name}",),
                    certificate=certificate,
                )
            case _:
                cors = CorsArgs(origins=(f"https://www.{name}",), credentials=True)
                site = a_site(name, {"/": app}, cors=cors, certificate=certificate)
        found.append(site)
    return found


def measured(root: Root, folder: Path) -> Sites:
    """Measure many sites in one nginx.

    Each site has its own certificate.

    Raises:
        BenchmarkError: nginx refuses the files of the sites.
    """
    many = sites()

    def render() -> None:
        for site in many:
            nginx.site(f"nginx-{site.name}", site, root.dialect)

    rendering = [_seconds(render) for _ in range(_ROUNDS)]
    none = nginx_process.prepare(root, folder / "none", catalogue.base(root))
    texts = {**catalogue.files(root, many, issue(["example.com"])), _NUMBER_PATH: _number(0)}
    for site in many:
        texts |= catalogue.beside([site], issue(catalogue.every_name([site])))
    files = nginx_process.prepare(root, folder / "many", texts)
    testing, testing_none = [], []
    for _ in range(_ROUNDS):  # measure in turn, so that a busy moment of the machine affects both
        testing.append(_seconds(lambda: _test(files)))
        testing_none.append(_seconds(lambda: _test(none)))
    with nginx_process.running(files) as pid:
        reloading = [_reload(files, pid, number) for number in range(1, _ROUNDS + 1)]
        _settled(pid)
        memory = sum(map(_proportional, [pid, *children(pid)]))
    return Sites(rendering, testing, testing_none, reloading, memory)


def _test(files: nginx_process.Files) -> None:
    done = nginx_process.check(files)
    if done.returncode:
        raise BenchmarkError(f"`nginx -t` refuses the configuration of the benchmark:\n{done.stderr}")


def _reload(files: nginx_process.Files, pid: int, number: int) -> float:
    files.put(_NUMBER_PATH, _number(number))
    begun = time.monotonic()
    os.kill(pid, signal.SIGHUP)
    while _answer(pid) != str(number):
        if time.monotonic() - begun > _SECONDS:
            raise BenchmarkError(f"no new worker of nginx has answered within {_SECONDS} s after the reload")
        time.sleep(0.005)
    return time.monotonic() - begun


def _number(number: int) -> str:
    return (
        f"server {{ listen 80; server_name {_NUMBER}; keepalive_timeout 0; access_log off;"
        f' location / {{ return 200 "{number}"; }} }}\n'
    )


def _answer(pid: int) -> str:
    with namespace.connected(pid, ("127.0.0.1", 80), "127.0.0.1") as line:
        line.sendall(f"GET / HTTP/1.1\r\nHost: {_NUMBER}\r\n\r\n".encode())
        said = b""
        while data := line.recv(4096):
            said += data
    return said.decode().rpartition("\r\n\r\n")[2]


def _settled(pid: int) -> None:
    """Wait until the workers of earlier configurations have ended."""
    while any("shutting down" in _read(child, "cmdline") for child in children(pid)):
        time.sleep(0.1)


def _proportional(pid: int) -> int:
    for line in _read(pid, "smaps_rollup").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except (FileNotFoundError, ProcessLookupError):  # the worker has just ended
        return ""


def _seconds(action: Callable[[], None]) -> float:
    begun = time.monotonic()
    action()
    return time.monotonic() - begun


def median(seconds: Sequence[float]) -> str:
    """Return the median and the range, in milliseconds."""
    found = sorted(each * 1000 for each in seconds)
    return f"{statistics.median(found):6.0f} ms   ({found[0]:.0f} - {found[-1]:.0f})"
