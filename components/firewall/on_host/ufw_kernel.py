"""Checks whether the rules in the kernel match ufw's files, and whether an undo may load the files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from portcullis.agent.errors import AgentError
from portcullis.components.firewall.on_host import ufw_live
from portcullis.components.firewall.on_host.ufw_files import SUFFIX
from portcullis.components.firewall.on_host.ufw_rules import FAMILIES, RANKS, Match, overlap

if TYPE_CHECKING:
    from portcullis.agent.guarded import Peer
    from portcullis.agent.machine import Machine
    from portcullis.components.firewall.on_host.ufw_files import Files
    from portcullis.components.firewall.on_host.ufw_live import Findings

_SAVE = {"4": "iptables-save", "6": "ip6tables-save"}
_PREFIX = {"4": "ufw", "6": "ufw6"}
_TIMEOUT = 30.0


def families(machine: Machine) -> tuple[str, ...]:
    """Return the address families of the kernel. ufw checks the same path (ufw/backend.py, use_ipv6)."""
    return FAMILIES if (machine.proc_sys / "net" / "ipv6").exists() else FAMILIES[:1]


def differences(machine: Machine, files: Files) -> dict[str, Findings]:
    """Return the differences of the kernel's rules from `files`, by address family.

    Raises `AgentError` (``unreadable``).
    """
    found = {}
    for family in families(machine):
        if family != FAMILIES[0] and not _filters(files, family):
            continue
        done = machine.run([_SAVE[family], "-t", "filter"], timeout=_TIMEOUT)
        if done.code:
            raise AgentError(
                "unreadable",
                "the host cannot list the firewall rules in the kernel",
                prop="live",
                detail=done.text,
            )
        if files.enabled:
            found[family] = ufw_live.compare(done.out, files.loaded(family), _PREFIX[family], files.defaults)
        else:
            found[family] = ufw_live.Findings()
            if f":{_PREFIX[family]}-user-input " in done.out:
                found[family].differences.append("ufw is off, but its rules are in the kernel")
    return found


def live_text(found: dict[str, Findings]) -> str:
    """Return the value of the property `live`: ``ok``, or the differences."""
    return "; ".join(f.text for f in found.values() if f.differences) or "ok"


def may_reload(files: Files, found: dict[str, Findings], peer: Peer | None) -> bool:
    """Whether an undo may let ufw load `files`. `files` and `found` describe the host before the change.

    The undo may load the files if the kernel's rules matched the files. If the kernel's rules differed, the
    present session may depend on the difference. Then the files must accept a login from the deploying
    machine. If it is unknown whether the files accept the login, the result is false.
    """
    if not any(findings.differences for findings in found.values()):
        return True
    # If INPUT was flushed, a reload of ufw would lock everybody out. A reload closes INPUT, and adds jumps
    # only to chains that it creates itself.
    if any(findings.loose for findings in found.values()):
        return False
    return peer is not None and _admits(files, peer)


def packet_of(peer: Peer) -> Match:
    """Return the first packet of the next login from the address of this session."""
    return Match(
        proto="tcp", dport=str(peer.server_port), dst=str(peer.server_address), src=str(peer.address)
    )


def _admits(files: Files, peer: Peer) -> bool:
    if peer.address.is_loopback:
        return True  # ufw accepts all packets on the interface lo
    family = str(peer.address.version)
    if f"before{SUFFIX[family]}.rules" in files.altered or not _filters(files, family):
        return False
    for rule in files.rules[family]:
        match = replace(rule.match, in_on="", out_on="")
        if overlap(match, packet_of(peer)):
            if rule.rank == RANKS["deny"]:
                return False
            if (
                match == rule.match
            ):  # a rule for an interface may not match, because the packet's interface is unknown
                return True
    return files.defaults["incoming"] == "allow"


def _filters(files: Files, family: str) -> bool:
    return family == FAMILIES[0] or files.settings["IPV6"].lower() == "yes"
