"""Install the missing Debian packages that the tools and the lab need.

The lists are tools/packages.txt and lab/packages.txt. tests/packages.txt is for people who run the tests. If
nothing is missing, this script only runs dpkg-query once. If the user is not root, the error has the command
that root must run. This module imports the standard library only.
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
_SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"  # the PATH of a user other than root may lack these folders
_GO_PACKAGE = "golang-go"


def ensure(*, lab: bool, go: bool) -> None:
    """Install the missing Debian packages that Python needs. `lab` adds those of the lab, and `go` adds Go.

    Raises:
        StepError: a package is missing and we cannot install it. The message has the command that installs
            it.

    """
    missing = _missing(wanted()) if lab else {}
    if importlib.util.find_spec("ensurepip") is None:
        missing["python3-venv"] = ""  # Debian has ensurepip in a package of its own
    if go and not golang.usable():
        missing[_GO_PACKAGE] = "go"
    if missing:
        _install(missing)


def ensure_for_tests() -> None:
    """Install the packages that only tests need.

    If the installation fails, print a note, because the other tests still run.
    """
    missing = _missing(wanted([_TESTS]))
    if missing:
        try:
            _install(missing)
        except StepError as error:
            say(f"note: the tests in a browser will fail. {error}")


def wanted(lists: Sequence[Path] = _LISTS) -> dict[str, str]:
    """Return the packages of the lists.

    The value of a package is the command that makes the package unnecessary; "" if there is no such command.
    """
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
            f"this machine lacks the programs of these Debian packages: {' '.join(missing)}. "
            "This machine has no apt-get: install the same programs with its own package manager."
        )
    if os.geteuid() != 0:
        raise StepError(_by_hand(missing))
    apt = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    step("updating apt's package lists", ["apt-get", "update"], env=apt, limit=600)
    offered = _offered(missing)
    # If this release lacks a package that is listed for a command, skip the package: another one may have the
    # command. The end of this function checks that each command exists.
    chosen = [name for name, command in missing.items() if offered.get(name) or not command]
    if _GO_PACKAGE in chosen and not golang.new_enough(offered[_GO_PACKAGE]):
        raise StepError(f"this release of Debian has no Go 1.25 or newer: {golang.ABSENT} {golang.ADVICE}")
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
            f"no package of this Debian release has the command {', '.join(lost)}: install it by hand, "
            "then run `make setup`."
        )


def _by_hand(missing: Mapping[str, str]) -> str:
    names = " ".join(name for name in missing if name != _GO_PACKAGE)
    install = f"missing packages; install them with\n    sudo apt-get install {names}\n" if names else ""
    advice = (
        f"Go 1.25 or newer is missing on this machine: {golang.ABSENT} {golang.ADVICE}\n"
        if _GO_PACKAGE in missing
        else ""
    )
    return f"{install}{advice}Then run this again."


def _offered(packages: Mapping[str, str]) -> dict[str, str]:
    """Return the version that apt would install, for each package that apt knows."""
    answer = ask(["apt-cache", "policy", *packages], env={"LC_ALL": "C"})
    found = re.findall(r"^(\S+):\n(?:  .*\n)*?  Candidate: (\S+)", answer.stdout, re.MULTILINE)
    return {name: version for name, version in found if version != "(none)"}


@contextlib.contextmanager
def _nothing_started() -> Iterator[None]:
    """Keep apt from starting the daemons that it installs.

    The lab starts its own daemons, with its own folders.
    """
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text(
        "#!/bin/sh\n# Portcullis: no service starts while Portcullis installs packages.\nexit 101\n"
    )
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)


def _keep_stopped(packages: list[str]) -> None:
    """Disable the services of `packages`.

    Otherwise these services would start at the next boot of this machine.
    """
    listed = ask(["dpkg", "--listfiles", *packages]).stdout
    units = sorted(
        set(re.findall(r"/lib/systemd/system/([^/@\n]+\.(?:service|socket|timer))$", listed, re.MULTILINE))
    )
    if units and shutil.which("systemctl"):
        ask(["systemctl", "disable", "--quiet", *units])
        say(f"    disabled on this machine: {shlex.join(units)}")
