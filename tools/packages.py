"""Install the Debian packages that the tools and the lab need, where they are missing.

The lists are tools/packages.txt and lab/packages.txt, and tests/packages.txt for who runs the tests. Where
all of it is there, this costs one dpkg-query; one who is not root is told what to install. Standard library
only.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tools import golang
from tools.steps import ROOT, StepError, ask, say, step

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_LISTS = (ROOT / "tools" / "packages.txt", ROOT / "lab" / "packages.txt")
_TESTS = ROOT / "tests" / "packages.txt"
_POLICY = Path("/usr/sbin/policy-rc.d")
_SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"  # a plain user's PATH may lack them
_GO_PACKAGE = "golang-go"


def ensure(*, lab: bool, go: bool) -> None:
    """Install what is missing for Python, for the `lab`, and for building an engine with `go`.

    Raises:
        StepError: something is missing and cannot be installed from here, with the command that would.

    """
    missing = _missing(wanted()) if lab else {}
    if importlib.util.find_spec("ensurepip") is None:
        missing["python3-venv"] = ""  # Debian keeps ensurepip apart from the interpreter
    if go and not golang.usable():
        missing[_GO_PACKAGE] = "go"
    if missing:
        _install(missing)


def ensure_for_tests() -> None:
    """Install what only tests need. Where that is not to be had, the others still run: it is said."""
    missing = _missing(wanted([_TESTS]))
    if missing:
        try:
            _install(missing)
        except StepError as error:
            say(f"note: the tests in a browser will fail. {error}")


def wanted(lists: Sequence[Path] = _LISTS) -> dict[str, str]:
    """Return the packages of the lists, each with the command that makes it unnecessary or ""."""
    packages: dict[str, str] = {}
    for line in (line for file in lists for line in file.read_text().splitlines()):
        name, command, *_ = [*line.partition("#")[0].split(), "", ""]
        if name:
            packages[name] = packages.get(name) or command
    return packages


def _missing(packages: Mapping[str, str]) -> dict[str, str]:
    rest = {name: command for name, command in packages.items() if not (command and _found(command))}
    installed = _installed()
    return {name: command for name, command in rest.items() if name not in installed}


def _installed() -> set[str]:
    answer = ask(["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\\n"])
    return {line.split()[0] for line in answer.stdout.splitlines() if line.endswith(" installed")}


def _found(command: str) -> bool:
    return shutil.which(command, path=f"{os.environ.get('PATH', '')}{os.pathsep}{_SYSTEM_PATH}") is not None


def _install(missing: Mapping[str, str]) -> None:
    if shutil.which("apt-get") is None:
        raise StepError(
            f"this machine lacks what Debian has in these packages: {' '.join(missing)}. "
            "It has no apt-get: install the like of them by its own means."
        )
    if os.geteuid() != 0:
        raise StepError(_by_hand(missing))
    apt = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    step("updating apt's package lists", ["apt-get", "update"], env=apt, limit=600)
    offered = _offered(missing)
    # A package that this release does not have is passed over when it was named for a command: another may
    # bring it. That the command is there is checked at the end.
    chosen = [name for name, command in missing.items() if offered.get(name) or not command]
    if _GO_PACKAGE in chosen and not golang.new_enough(offered[_GO_PACKAGE]):
        raise StepError(f"{golang.ABSENT} {golang.ADVICE}")
    before = _installed()
    with _nothing_started():
        step(
            f"installing {' '.join(chosen)}",
            ["apt-get", "install", "--yes", "--no-install-recommends", *chosen],
            env=apt,
            limit=1800,
        )
    _keep_stopped(sorted(_installed() - before))
    lost = [command for command in missing.values() if command and not _found(command)]
    if lost:
        raise StepError(
            f"no package of this release brings {', '.join(lost)}: install it and run this again."
        )


def _by_hand(missing: Mapping[str, str]) -> str:
    names = " ".join(name for name in missing if name != _GO_PACKAGE)
    install = f"missing packages; install them with\n    sudo apt-get install {names}\n" if names else ""
    advice = f"{golang.ABSENT} {golang.ADVICE}\n" if _GO_PACKAGE in missing else ""
    return f"{install}{advice}Then run this again."


def _offered(packages: Mapping[str, str]) -> dict[str, str]:
    """Return the version that apt would install of each package it knows."""
    answer = ask(["apt-cache", "policy", *packages], env={"LC_ALL": "C"})
    found = re.findall(r"^(\S+):\n(?:  .*\n)*?  Candidate: (\S+)", answer.stdout, re.MULTILINE)
    return {name: version for name, version in found if version != "(none)"}


@contextlib.contextmanager
def _nothing_started() -> Iterator[None]:
    """Keep apt from starting the daemons it installs: the lab starts its own, with folders of its own."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text(
        "#!/bin/sh\n# Portcullis: nothing starts while its packages are installed.\nexit 101\n"
    )
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)


def _keep_stopped(packages: list[str]) -> None:
    """Disable the services that came with `packages`, or the next boot would start them on this machine."""
    listed = ask(["dpkg", "--listfiles", *packages]).stdout
    units = sorted(
        set(re.findall(r"/lib/systemd/system/([^/@\n]+\.(?:service|socket|timer))$", listed, re.MULTILINE))
    )
    if units and shutil.which("systemctl"):
        ask(["systemctl", "disable", "--quiet", *units])
        say(f"    left disabled on this machine: {shlex.join(units)}")
