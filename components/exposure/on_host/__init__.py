"""Reads what a host exposes: listeners, published ports and open firewall rules."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from portcullis.agent.errors import AgentError
from portcullis.agent.kind import Kind, each
from portcullis.agent.quotes import unquoted
from portcullis.agent.step import WARN, Step
from portcullis.components.containers.on_host import container_states
from portcullis.components.exposure.facts import (
    ABSENT,
    MAPS,
    ExposureDesired,
    ExposureFacts,
    ExposureSpec,
    maps_of,
)
from portcullis.components.exposure.on_host import docker_ports, packet_passes, socket_owners, sockets
from portcullis.components.exposure.on_host.socket_owners import UNKNOWN
from portcullis.components.firewall.on_host import ufw_files, ufw_kernel
from portcullis.components.nginx.on_host.served_containers import IS_SERVED, MAY_BE_SERVED

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.store import Record
    from portcullis.components.exposure.on_host.docker_ports import Container
    from portcullis.components.exposure.on_host.socket_owners import Process

_TIMEOUT = 30.0
# The pause before the second reading, as a part of the machine's settling time. It is long enough for a DNS
# look-up or a restart of a service.
_SECOND_LOOK = 0.5
# The key of one port, which any program can have: `tcp4 0.0.0.0:443`. Other keys name their owner.
_PORT = re.compile(r"(?:tcp|udp|sctp)[46] [0-9a-f.:\[\]]+:\d+")
_ACCEPTED = "accepted"
"""The name of the owners of accepted ports in the record of the exposure."""
Owners = Mapping[str, list[str]]
"""The reason and the owner of each accepted port, by its key."""
# These parts of a text change while the owner stays. A container gets another image, or nginx begins to need
# it. A task of Swarm, a container of another engine and a unit of systemd-run(1) get a new number each time.
_CHANGES = (
    (
        re.compile(
            rf'((?:^| and )(?:container|service) "[^"]*") \([^)]*\)'
            rf"(?:, (?:{IS_SERVED}|{MAY_BE_SERVED}))?"
        ),
        r"\1",
    ),
    (re.compile(r'\.\d+\.[a-z0-9]{25}(?=")'), ""),
    (re.compile(r"^container [0-9a-f]{12}$"), "a container of another engine"),
    (re.compile(r"\brun-(?:u\d+|[pr]?[0-9a-f-]{8,})\.service"), "run-….service"),
)


class Exposures(Kind[ExposureSpec, ExposureDesired, ExposureFacts]):
    """Handles the host resource of the kind `exposure`.

    A host has one such resource, which changes nothing on the host.
    """

    spec_type = ExposureSpec
    desired_type = ExposureDesired
    facts_type = ExposureFacts

    def facts(self, questions: Sequence[Question[ExposureSpec]]) -> Answers[ExposureFacts]:
        return each(
            lambda spec, record: ExposureFacts.of(self._settled(spec, _owners(record))),
            questions,
        )

    def plan(self, desired: ExposureDesired, facts: ExposureFacts) -> list[Step]:
        """Return a step for each difference, undeclared entries first, because they matter most."""
        steps: list[Step] = []
        found, declared = maps_of(facts), maps_of(desired)
        for name in MAPS:
            have, want = found[name], declared[name]
            for key in sorted({*have, *want}, key=lambda key: (key in want, key)):
                if have.get(key) != want.get(key):
                    step = Step(f'{name}["{key}"]', have.get(key, ABSENT), want.get(key, ABSENT), WARN)
                    steps.append(step)
        return steps

    def is_unmodified_default(self, item: str, facts: ExposureFacts) -> bool:
        """Return true: a deploy replaces nothing here, so it needs no `adopt`."""
        return True

    def apply(self, desired: ExposureDesired, steps: list[Step], work: Work) -> None:
        """Change nothing: whoever opened an undeclared port has to close it.

        Record who has each accepted port, so that nobody else can take it. A port with the same reason as
        before keeps its owner. A port without a known owner is recorded by a later `up` that has something to
        change here.
        """
        known = _owners(work.record)
        now: dict[str, str] = {}
        if desired.accepted:
            for ports in self._ports(desired.spec(), docker_ports.read(self._machine), ()):
                now.update({key: _owner(text) for key, text in ports.items()})
        kept = {}
        for key, reason in desired.accepted.items():
            if known.get(key, [""])[0] == reason:
                kept[key] = known[key]
            elif now.get(key, UNKNOWN) != UNKNOWN and _PORT.fullmatch(key):
                kept[key] = [reason, now[key]]
        work.record.extra[_ACCEPTED] = kept

    def remove(self, desired: ExposureDesired, record: Record, folder: Path) -> str:
        return "kept"

    def _settled(self, spec: ExposureSpec, known: Owners) -> dict[str, Mapping[str, str]]:
        """Return what the host exposes.

        Read the host a second time if the first reading differs from the declaration.

        During a DNS look-up, a program has a socket for a moment. During a restart, a service has no socket
        for a moment. Such a short change of sockets is no difference.
        """
        first, declared = self._read(spec, known), maps_of(spec)
        if first == declared:
            return first
        self._machine.alone.wait(_SECOND_LOOK * self._machine.settle)
        second = self._read(spec, known)
        return {name: _confirmed(first[name], second[name], declared[name]) for name in MAPS}

    def _read(self, spec: ExposureSpec, known: Owners) -> dict[str, Mapping[str, str]]:
        containers, accepted = docker_ports.read(self._machine), spec.accepted
        records = list(self._store.all()) if containers else []
        recorded = container_states.recorded(records)
        links = {record.id for record in records if record.kind == "containers.links"}
        listeners, published = self._ports(spec, containers, recorded)
        passes = self._passes(containers)
        past = docker_ports.past_filters(self._machine)
        networks = docker_ports.networks(containers, spec.networks, past, recorded, links)
        found: dict[str, Mapping[str, str]] = {
            "listeners": _without(listeners, accepted, known),
            "published": {
                key: text
                for key, text in _without(published, accepted, known).items()
                if key in spec.published or not _is_public(spec.usual, key)
            },
            "passes": _without(passes, accepted, {}),
            "networks": {key: text for key, text in networks.items() if f"network {key}" not in accepted},
        }
        if not sockets.has_ipv6(self._machine.proc):
            # A kernel without IPv6 exposes nothing by IPv6. So no declared IPv6 entry counts as missing.
            for name, declared in maps_of(spec).items():
                by_ipv6 = {k: v for k, v in declared.items() if k.partition(" ")[0].endswith("6")}
                if name != "networks":
                    found[name] = {**found[name], **by_ipv6}
        return found

    def _ports(
        self, spec: ExposureSpec, containers: Sequence[Container], recorded: Collection[str]
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Return the listeners and the published ports, with those that the settings accept."""
        # Accepted keys count as declared here, so that the releases of an app share one accepted key.
        own = docker_ports.own_address(self._machine)
        declared = {**spec.accepted, **spec.published}
        published = docker_ports.published(containers, declared, recorded, own)
        return self._listeners(spec, containers), published

    def _listeners(self, spec: ExposureSpec, containers: Sequence[Container]) -> dict[str, str]:
        """Return listeners on non-loopback addresses, without Docker's sockets for published ports."""
        machine = self._machine
        docker_keys = {
            sockets.key(protocol, address, port)
            for one in containers
            for protocol, address, port in one.bindings
        }
        found = sockets.waiting(machine.proc)
        held = socket_owners.holders(machine.proc, [one.inode for one in found])
        by_systemd = self._by_systemd(found, held)
        texts = {one.id: one.text for one in containers}
        any_port = sockets.ephemeral(machine.proc_sys)
        owners: dict[str, set[str]] = {}
        for one in found:
            # Check the process too, because any program can listen on the port of a stopped container.
            if one.key in docker_keys and any(process.is_dockers for process in held.get(one.inode, ())):
                continue
            text, names = socket_owners.text_of(held.get(one.inode), one.port, texts, by_systemd)
            is_named = one.key in spec.listeners or one.key in spec.accepted
            is_temporary = one.protocol == "udp" and one.port in any_port and not is_named
            if _is_usual(spec.usual, one, names, is_temporary=is_temporary):
                continue
            key = f"{one.kind} ephemeral by {text}" if is_temporary else one.key
            if unquoted(key) in spec.listeners:  # as an earlier version told it
                key = unquoted(key)
            declared = spec.listeners.get(key)
            owners.setdefault(key, set()).add(declared if declared in names else text)
        return {key: " and ".join(sorted(texts)) for key, texts in owners.items()}

    def _by_systemd(
        self, found: Sequence[sockets.Socket], held: Mapping[int, Sequence[Process]]
    ) -> dict[int, str]:
        """Return the services behind sockets that only systemd has open.

        Ask systemd only if there are such sockets.
        """
        if any([process.pid for process in held.get(one.inode, ())] == [1] for one in found):
            return socket_owners.activated(self._machine)
        return {}

    def _passes(self, containers: Sequence[Container]) -> dict[str, str]:
        ruleset = packet_passes.tables(self._output(["nft", "-t", "-s", "list", "ruleset"]))
        published = {
            (protocol, port) for one in containers for protocol, _, port in one.bindings
        }  # fmt: skip
        bridges = self._bridges()
        found = self._ufw() | packet_passes.by_filter(ruleset.get(packet_passes.FILTER))
        shown: dict[str, set[str]] = {}
        for family, tool in (("4", "iptables"), ("6", "ip6tables")):
            if family in ufw_kernel.families(self._machine):
                saved = self._output([f"{tool}-save"])
                found |= packet_passes.by_iptables(saved, tool, bridges, published)
                shown |= packet_passes.chains(saved, tool)
        return found | packet_passes.by_tables(ruleset, shown, bridges, published)

    def _ufw(self) -> dict[str, str]:
        families = ufw_kernel.families(self._machine)
        if not (self._machine.ufw / "ufw.conf").exists():
            return packet_passes.wide_open("ufw is not installed", families)
        files = ufw_files.read(self._machine, ())
        if not files.enabled:
            return packet_passes.wide_open("ufw is off", families)
        if files.settings["IPV6"].lower() != "yes":
            families = families[:1]  # without IPv6 in its settings, ufw closes IPv6 completely
        found = packet_passes.by_ufw(files.rules, families)
        if files.defaults["incoming"] == "allow":
            found |= packet_passes.wide_open("ufw lets in packets that no rule refuses", families)
        return found

    def _bridges(self) -> set[str]:
        with contextlib.suppress(OSError):
            return {path.name for path in self._machine.net.iterdir() if (path / "bridge").exists()}
        return set()

    def _output(self, argv: list[str]) -> str:
        """Return the output of a program, or "" if the program is not installed. Raises `AgentError`."""
        try:
            done = self._machine.run(argv, timeout=_TIMEOUT)
        except AgentError as error:
            if error.code == "invalid":
                return ""
            raise
        if done.code:
            raise AgentError(
                "unreadable",
                f"{argv[0]} cannot list the firewall rules of the host",
                prop="passes",
                detail=done.text,
            )
        return done.out


def _owners(record: Record | None) -> Owners:
    found: Owners = record.extra.get(_ACCEPTED) or {} if record else {}
    return found


def _owner(text: str) -> str:
    """Return the text about an owner without what changes while the owner stays."""
    for pattern, instead in _CHANGES:
        text = pattern.sub(instead, text)
    return text


def _without(found: Mapping[str, str], accepted: Mapping[str, str], known: Owners) -> dict[str, str]:
    """Return the entries that are not accepted, and those with another owner than the accepted one.

    An accepted key of an earlier version has the name of a process without quotes.
    """
    told = {}
    for key, text in found.items():
        before = known.get(key, [])
        if key not in accepted and unquoted(key) not in accepted:
            told[key] = text
        elif before[:1] == [accepted.get(key)] and before[1] != _owner(text):
            told[key] = f"{text} (when accepted: {before[1]})"
    return told


def _confirmed(
    first: Mapping[str, str], second: Mapping[str, str], declared: Mapping[str, str]
) -> dict[str, str]:
    """Return undeclared entries that both readings found, and declared entries that either reading found."""
    found = {key: text for key, text in second.items() if key in declared or key in first}
    for key, text in first.items():
        if key in declared and (key not in found or text == declared[key]):
            found[key] = text
    return found


_USUAL = re.compile(
    r"(?P<published>published )?(?P<protocol>tcp|udp) (?P<first>\d+|ephemeral)(?:-(?P<last>\d+))?"
    r" by (?P<owner>.+)"
)


def _is_usual(
    usual: Collection[str], one: sockets.Socket, names: Collection[str], *, is_temporary: bool
) -> bool:
    """Whether an entry of `usual` allows a socket: `udp 68 by dhclient`, `udp ephemeral by chronyd`."""
    for text in usual:
        match = _USUAL.fullmatch(text)
        if match and not match["published"] and match["protocol"] == one.protocol:
            fits = is_temporary if match["first"] == "ephemeral" else _within(match, one.port)
            if fits and match["owner"] in ("*", *names):
                return True
    return False


def _is_public(usual: Collection[str], key: str) -> bool:
    """Whether an entry of `usual` opens this published port to everybody: `published tcp 8443 by *`."""
    protocol, port = key[:3], key.rpartition(":")[2]
    return port.isdecimal() and any(
        match and match["published"] and match["protocol"] == protocol and _within(match, int(port))
        for match in map(_USUAL.fullmatch, usual)
    )


def _within(match: re.Match[str], port: int) -> bool:
    return int(match["first"]) <= port <= int(match["last"] or match["first"])
