"""What a host exposes: who listens, what Docker publishes, what the firewalls let through. Read only."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any, Dict, List

from portcullis.agent.errors import HostError
from portcullis.agent.kind import Kind
from portcullis.agent.step import WARN, Json, Step
from portcullis.components.exposure.on_host import packet_passes, publications, socket_owners, sockets
from portcullis.components.firewall.on_host import ufw_files, ufw_kernel

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.store import Record
    from portcullis.components.exposure.on_host.publications import Container

MAPS = ("listeners", "published", "passes", "networks")
_SPEC = (*MAPS, "accepted", "usual")
_TIMEOUT = 30.0
_ABSENT = "absent"
_PROXIES = ("docker-proxy", "dockerd")
# Of a machine's settling time: long enough for a look-up by DNS, or a service that restarts.
_SECOND_LOOK = 0.5

Found = Dict[str, Dict[str, str]]


class Exposures(Kind[Json, Json, Json]):
    """The kind ``exposure``; a host has one. Nothing is changed, ever."""

    def spec(self, item: str, desired: Json) -> Json:
        return {name: desired.get(name) or {} for name in _SPEC}

    def facts(self, questions: Sequence[Question[Json]]) -> Answers[Json]:
        answers: Answers[Json] = []
        for spec, _ in questions:
            try:
                answers.append({"exists": True, **self._settled(spec)})
            except HostError as error:
                answers.append(error)
        return answers

    def plan(self, desired: Json, facts: Json) -> list[Step]:
        """What is found and not declared first: it is what matters."""
        steps: List[Step] = []
        for name in MAPS:
            have, want = facts[name], desired.get(name) or {}
            for key in sorted({*have, *want}, key=lambda key: (key in want, key)):
                if have.get(key) != want.get(key):
                    step = Step(f'{name}["{key}"]', have.get(key, _ABSENT), want.get(key, _ABSENT), WARN)
                    steps.append(step)
        return steps

    def obstacle(self, desired: Json, facts: Json) -> HostError | None:
        return None

    def is_unmodified_default(self, item: str, facts: Json) -> bool:
        """Nothing is replaced."""
        return True

    def original(self, item: str, facts: Json, folder: Path) -> Json:
        return {}

    def apply(self, desired: Json, steps: list[Step], work: Work) -> None:
        """There is nothing to do: who exposes something has to take it back."""

    def remove(self, desired: Json, record: Record, folder: Path) -> str:
        return "kept"

    def _settled(self, spec: Json) -> Found:
        """What is exposed; what differs is looked at twice.

        A program that asks something by DNS has a socket for a moment, and a service that restarts has none:
        neither is worth an alarm.
        """
        first = self._look(spec)
        if all(first[name] == (spec.get(name) or {}) for name in MAPS):
            return first
        self._machine.alone.wait(_SECOND_LOOK * self._machine.settle)
        second = self._look(spec)
        return {name: _both(first[name], second[name], spec.get(name) or {}) for name in MAPS}

    def _look(self, spec: Json) -> Found:
        containers = publications.read(self._machine)
        found = {
            "listeners": self._listeners(spec, containers),
            # What is accepted is no less declared: else each release of an app would stand for itself.
            "published": publications.published(containers, {**spec["accepted"], **spec["published"]}),
            "passes": self._passes(containers),
            "networks": publications.networks(containers, spec["networks"]),
        }
        known = spec["accepted"]
        cleaned = {name: {k: v for k, v in found[name].items() if k not in known} for name in MAPS[:3]}
        cleaned["published"] = {
            k: v
            for k, v in cleaned["published"].items()
            if k in spec["published"] or not _is_public(spec["usual"], k)
        }
        cleaned["networks"] = {k: v for k, v in found["networks"].items() if f"network {k}" not in known}
        if not sockets.has_ipv6(self._machine.proc):
            # A kernel without IPv6 exposes nothing by it, and less than declared is no fault of anybody.
            for name in MAPS[:3]:
                declared = spec.get(name) or {}
                cleaned[name] |= {k: v for k, v in declared.items() if k.partition(" ")[0].endswith("6")}
        return cleaned

    def _listeners(self, spec: Json, containers: Sequence[Container]) -> Dict[str, str]:
        """Who listens beyond loopback; what Docker listens on for a container is the container's."""
        machine = self._machine
        theirs = {
            sockets.key(protocol, address, port)
            for one in containers
            for protocol, address, port in one.bindings
        }
        found = sockets.waiting(machine.proc)
        held = socket_owners.holders(machine.proc, [one.inode for one in found])
        by_systemd = self._by_systemd(found, held)
        texts = {one.id: one.text for one in containers}
        any_port = sockets.ephemeral(machine.proc_sys)
        owners: Dict[str, set[str]] = {}
        for one in found:
            # By the process too: on the port of a container that was stopped anybody may listen.
            if one.key in theirs and any(process.name in _PROXIES for process in held.get(one.inode, ())):
                continue
            text, names = socket_owners.text_of(held.get(one.inode, []), one.port, texts, by_systemd)
            is_named = one.key in spec["listeners"] or one.key in spec["accepted"]
            passing = one.protocol == "udp" and one.port in any_port and not is_named
            if _is_usual(spec["usual"], one, names, passing=passing):
                continue
            key = f"{one.kind} ephemeral by {text}" if passing else one.key
            declared = spec["listeners"].get(key)
            owners.setdefault(key, set()).add(declared if declared in names else text)
        return {key: " and ".join(sorted(texts)) for key, texts in owners.items()}

    def _by_systemd(
        self, found: Sequence[sockets.Socket], held: Mapping[int, Sequence[Any]]
    ) -> Dict[int, str]:
        """The services of sockets that systemd alone holds; it is asked only where there is one."""
        if any([process.pid for process in held.get(one.inode, ())] == [1] for one in found):
            return socket_owners.activated(self._machine)
        return {}

    def _passes(self, containers: Sequence[Container]) -> Dict[str, str]:
        ruleset = packet_passes.tables(self._said(["nft", "-t", "-s", "list", "ruleset"]))
        published = {
            (protocol, port) for one in containers for protocol, _, port in one.bindings
        }  # fmt: skip
        bridges = self._bridges()
        found = self._ufw() | packet_passes.by_filter(ruleset.get(packet_passes.FILTER))
        shown: Dict[str, set[str]] = {}
        for family, tool in (("4", "iptables"), ("6", "ip6tables")):
            if family in ufw_kernel.families(self._machine):
                saved = self._said([f"{tool}-save"])
                found |= packet_passes.by_iptables(saved, tool, bridges, published)
                shown |= packet_passes.chains(saved, tool)
        return found | packet_passes.by_tables(ruleset, shown)

    def _ufw(self) -> Dict[str, str]:
        families = ufw_kernel.families(self._machine)
        if not (self._machine.ufw / "ufw.conf").exists():
            return packet_passes.wide_open("ufw is not installed", families)
        files = ufw_files.read(self._machine, ())
        if not files.enabled:
            return packet_passes.wide_open("ufw is off", families)
        if files.settings["IPV6"].lower() != "yes":
            families = families[:1]  # ufw closes IPv6 altogether then
        found = packet_passes.by_ufw(files.rules, families)
        if files.defaults["incoming"] == "allow":
            found |= packet_passes.wide_open("ufw lets in what no rule refuses", families)
        return found

    def _bridges(self) -> set[str]:
        with contextlib.suppress(OSError):
            return {path.name for path in self._machine.net.iterdir() if (path / "bridge").exists()}
        return set()

    def _said(self, argv: List[str]) -> str:
        """What a program prints; nothing where there is no such program. Raises `HostError`."""
        try:
            done = self._machine.run(argv, timeout=_TIMEOUT)
        except HostError as error:
            if error.code == "invalid":
                return ""
            raise
        if done.code:
            raise HostError(
                "unreadable",
                f"{argv[0]} does not list the rules on the host",
                prop="passes",
                detail=done.text,
            )
        return done.out


def _both(first: Mapping[str, str], second: Mapping[str, str], declared: Mapping[str, str]) -> Dict[str, str]:
    """What is undeclared both times, and what is declared at least once."""
    found = {key: text for key, text in second.items() if key in declared or key in first}
    for key, text in first.items():
        if key in declared and (key not in found or text == declared[key]):
            found[key] = text
    return found


_USUAL = re.compile(
    r"(?P<published>published )?(?P<protocol>tcp|udp) (?P<first>\d+|ephemeral)(?:-(?P<last>\d+))?"
    r" by (?P<owner>.+)"
)


def _is_usual(usual: Collection[str], one: sockets.Socket, names: Collection[str], *, passing: bool) -> bool:
    """Whether a socket is one that may be there: ``udp 68 by dhclient``, ``udp ephemeral by chronyd``."""
    for text in usual:
        match = _USUAL.fullmatch(text)
        if match and not match["published"] and match["protocol"] == one.protocol:
            fits = passing if match["first"] == "ephemeral" else _within(match, one.port)
            if fits and match["owner"] in ("*", *names):
                return True
    return False


def _is_public(usual: Collection[str], key: str) -> bool:
    """Whether a publication is of a port that the filter lets the world use: ``published tcp 8443 by *``."""
    protocol, port = key[:3], key.rpartition(":")[2]
    return port.isdigit() and any(
        match and match["published"] and match["protocol"] == protocol and _within(match, int(port))
        for match in map(_USUAL.fullmatch, usual)
    )


def _within(match: re.Match[str], port: int) -> bool:
    return int(match["first"]) <= port <= int(match["last"] or match["first"])
