"""apt and dpkg: parses their output, and runs them so that they ask no questions and wait for locks."""

from __future__ import annotations

import contextlib
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.agent.errors import AgentError
from portcullis.resources.packages.on_host.policy import VARIABLE, held_back

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from portcullis.agent.machine import Machine
    from portcullis.agent.run import Done

_QUERY_TIMEOUT = 30.0
_APT_TIMEOUT = 900.0
_CONFOLD = ("--force-confdef", "--force-confold")
_OPTIONS = ("-q", "-y", *(word for force in _CONFOLD for word in ("-o", f"Dpkg::Options::={force}")))
# No program may ask a question, and no program (such as Ubuntu's needrestart) may restart other services.
_ENVIRONMENT = {
    "DEBIAN_FRONTEND": "noninteractive",
    "APT_LISTCHANGES_FRONTEND": "none",
    "UCF_FORCE_CONFFOLD": "1",
    "NEEDRESTART_SUSPEND": "1",
    VARIABLE: "1",
}
_HELD = re.compile(
    r"Could not get lock (\S+?)\.? .*?(?:held by process (\d+)(?: \((.+?)\))?)?\s*$", re.MULTILINE
)
_DPKG_HELD = re.compile(r"(\S+) was locked by another process with pid (\d+)()")


# This option is always given, so that the host's own setting does not decide which packages a stack gets.
_RECOMMENDS = {True: ("--install-recommends",), False: ("--no-install-recommends",)}

# By default, autoremove keeps a package that an installed package only suggests. So perl would stay, because
# debconf suggests it. We use only our own packages from the answer.
_NEEDED = (
    *("-o", "APT::AutoRemove::RecommendsImportant=false"),
    *("-o", "APT::AutoRemove::SuggestsImportant=false"),
)


@dataclass(frozen=True)
class Changes:
    """The result of a simulation: the packages that apt would install, and those that it would remove."""

    brings: frozenset[str]
    takes: frozenset[str]


class Apt:
    """The host's package manager.

    Callers make sure that only one thread uses the package manager at a time.
    """

    def __init__(self, machine: Machine) -> None:
        """Store the host, to run programs and for its folders."""
        self._machine = machine

    def states(self, names: Collection[str]) -> dict[str, str]:
        """Return dpkg's two letters (such as ``ii`` or ``rc``) for each known name. Raises `AgentError`."""
        if not names:
            return {}
        done = self._machine.run(
            ["dpkg-query", "-W", "-f", "${Package}\t${db:Status-Abbrev}\n", "--", *sorted(names)],
            timeout=_QUERY_TIMEOUT,
        )
        if done.code not in (0, 1):  # exit code 1: some names are unknown
            raise AgentError("unreadable", "dpkg's database cannot be read on the host", detail=done.text)
        return package_states(done.out)

    def would(self, verb: str, names: Iterable[str] = (), options: Iterable[str] = ()) -> Changes:
        """Return the changes that ``apt-get VERB NAMES`` would make. Raises `AgentError` (``apt``)."""
        argv = ["apt-get", *_OPTIONS, *options, "-s", verb, *names]
        done = self._machine.run(argv, timeout=_QUERY_TIMEOUT * 4, env=_ENVIRONMENT)
        if done.code:
            raise failure(verb, done)
        return changes(done.out)

    def would_install(self, names: Collection[str], *, recommends: bool) -> Changes:
        """Return the changes that `install` would make. Raises `AgentError` (``apt``)."""
        return self.would("install", sorted(names), _RECOMMENDS[recommends])

    def unneeded(self) -> frozenset[str]:
        """Return packages that came as dependencies and that no package needs now. Raises `AgentError`."""
        return self.would("autoremove", options=_NEEDED).takes

    def prepare(self, names: Collection[str]) -> None:
        """Fetch package lists if they are missing or lack one of `names`. Raises `AgentError` (``apt``)."""
        if self._unknown(names):
            self._run("update")
            unknown = self._unknown(names)
            if unknown:
                raise AgentError(
                    "apt",
                    f"the host's package sources have no {', '.join(sorted(unknown))}",
                    prop="packages",
                    hint="check the name of the package and the release of the system, or declare the "
                    "package source first",
                )

    def install(self, names: Collection[str], *, recommends: bool) -> None:
        """Install without starting any new service. Raises `AgentError` (``apt``, ``apt-lock``)."""
        argv = (*_RECOMMENDS[recommends], "install", *sorted(names))
        with held_back(self._machine.policy):
            self._reinstall_interrupted()
            try:
                self._run(*argv)
            except AgentError as error:
                if "404" not in error.detail:
                    raise
                self._run("update")  # the lists name a version that the mirror has replaced
                self._run(*argv)

    def take_away(self, names: Collection[str], *, purge: bool) -> None:
        """Remove exactly these packages. Raises `AgentError` (``apt``, ``apt-lock``)."""
        self._run("purge" if purge else "remove", *sorted(names))

    def automatic(self, names: Collection[str]) -> set[str]:
        """Return those of `names` that apt removes as soon as no package needs them."""
        done = self._machine.run(["apt-mark", "showauto", *sorted(names)], timeout=_QUERY_TIMEOUT)
        return set(done.out.split())

    def mark(self, how: str, names: Collection[str]) -> None:
        """Mark packages as ``auto`` or ``manual``. Raises `AgentError`."""
        if names:
            done = self._machine.run(["apt-mark", how, *sorted(names)], timeout=_QUERY_TIMEOUT)
            if done.code:
                raise failure("mark", done)

    def _reinstall_interrupted(self) -> None:
        """Reinstall packages whose unpacking was interrupted. apt counts them as installed, dpkg does not.

        If this fails, the installation itself reports the cause.
        """
        done = self._machine.run(
            ["dpkg-query", "-W", "-f", "${Package}\t${db:Status-Abbrev}\n"], timeout=_QUERY_TIMEOUT
        )
        interrupted = sorted(
            {name for name, _, state in _rows(done.out) if "H" in state[1:2] or "R" in state[2:3]}
        )
        if interrupted:
            with contextlib.suppress(AgentError):
                self._run(*_RECOMMENDS[False], "--reinstall", "install", *interrupted)

    def _unknown(self, names: Collection[str]) -> set[str]:
        if not any(self._machine.lists.glob("*_Packages*")):
            return set(names)
        done = self._machine.run(["apt-cache", "policy", *sorted(names)], timeout=_QUERY_TIMEOUT)
        return set(names) - with_candidate(done.out)

    def _run(self, *words: str) -> None:
        """Run apt-get and wait for locks. apt's own option does not wait for the package lists' lock."""
        deadline = time.monotonic() + self._machine.apt_lock_wait
        repaired = False
        while True:
            done = self._machine.run(["apt-get", *_OPTIONS, *words], timeout=_APT_TIMEOUT, env=_ENVIRONMENT)
            if done.code == 0:
                return
            if "dpkg was interrupted" in done.err and not repaired:
                repaired = True
                self._machine.run(
                    ["dpkg", *_CONFOLD, "--configure", "-a"], timeout=_APT_TIMEOUT, env=_ENVIRONMENT
                )
                continue
            holder = lock_holder(done.err)
            if holder is None:
                raise failure(next(word for word in words if not word.startswith("-")), done)
            if time.monotonic() >= deadline:
                raise AgentError(
                    "apt-lock",
                    f"{holder} did not release apt's lock within {self._machine.apt_lock_wait:.0f} s",
                    hint=f"wait until {holder} has finished, then run the command again",
                    detail=said(done),
                )
            time.sleep(min(1.0, self._machine.apt_lock_wait / 4))


def _rows(output: str) -> list[tuple[str, str, str]]:
    """Split lines of ``name<TAB>iHR``: the letters are the wanted state, the present state and an error."""
    return [line.partition("\t") for line in output.splitlines()]


def package_states(output: str) -> dict[str, str]:
    """Return each package's state from lines of ``name<TAB>ii ``.

    If a package has several architectures, the state of an installed one counts.
    """
    states: dict[str, str] = {}
    for name, _, state in _rows(output):
        if not states.get(name, "").endswith("i"):
            states[name] = state[:2]
    return states


def is_installed(state: str | None) -> bool:
    """Return whether dpkg's two letters mean installed.

    The first letter may be ``h`` for a package on hold.
    """
    return state is not None and state[1:2] == "i"


def is_there(state: str | None) -> bool:
    """Return whether a package is at least partly unpacked.

    The letters ``n`` (nothing) and ``c`` (only conffiles) mean no.
    """
    return state is not None and state[1:2] not in ("", "n", "c")


def changes(output: str) -> Changes:
    """Parse ``apt-get -s``: ``Inst name (…)`` is a new package, ``Inst name [old] (…)`` an upgrade."""
    brings, takes = set(), set()
    for line in output.splitlines():
        words = line.split()
        if len(words) < 2:  # noqa: PLR2004 - a verb and a name
            continue
        name = words[1].partition(":")[0]
        if words[0] == "Inst" and not (len(words) > 2 and words[2].startswith("[")):  # noqa: PLR2004 - the version
            brings.add(name)
        elif words[0] in ("Remv", "Purg"):
            takes.add(name)
    return Changes(frozenset(brings), frozenset(takes))


def with_candidate(output: str) -> set[str]:
    """Return the names in the output of ``apt-cache policy`` that have a version to install."""
    found, name = set(), ""
    for line in output.splitlines():
        if line.endswith(":") and not line.startswith(" "):
            name = line[:-1].partition(":")[0]
        elif line.startswith("  Candidate:") and "(none)" not in line:
            found.add(name)
    return found


def lock_holder(errors: str) -> str | None:
    """Return who holds a lock that apt or dpkg could not get, for people. Return None for another failure."""
    found = _HELD.search(errors) or _DPKG_HELD.search(errors)
    if found is None:
        return "another process" if "Unable to lock" in errors else None
    _, pid, name = found.groups()
    if pid and not name:
        try:
            name = (Path("/proc") / pid / "comm").read_text("utf-8").strip()
        except OSError:
            name = ""
    return f"{name or 'a process'} (process {pid})" if pid else "another process"


def said(done: Done) -> str:
    """Return the last lines that apt or dpkg printed. The last lines contain the errors."""
    return "\n".join(done.text.splitlines()[-20:])


def failure(verb: str, done: Done) -> AgentError:
    """Return the error of apt-get, with apt's first error line as the cause."""
    errors = [line[3:] for line in done.err.splitlines() if line.startswith("E: ")]
    cause = errors[0] if errors else f"exit code {done.code}"
    return AgentError("apt", f"apt-get {verb} failed: {cause}", prop="packages", detail=said(done))
