"""Writes ``Pulumi.lab.yaml``, the file of the stack ``lab``, from a template and this machine's facts.

Address, host key, key file and image digest are facts of the machine. A line that ends in ``# lab: FACT`` has
such a fact, and we replace only its value. Everything else in the file belongs to the person who edits it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lab import acme, catalogue, keys, machine, network, shop
from lab.errors import LabError
from lab.places import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TEMPLATE = CHECKOUT / "lab" / "stack" / "Pulumi.lab.yaml"
DEMO_SITE = "shop.example.com"
TARGET = CHECKOUT / "Pulumi.lab.yaml"

_LINE = re.compile(r"^(?P<key>\s*[\w.-]+:[ ]+)(?P<value>\S.*?)(?P<mark>\s+# lab: (?P<fact>.+?)\s*)$")


def refresh(host: str = machine.DEFAULT_HOST, target: Path = TARGET) -> list[str]:
    """Write or update the file for a host. Return one line for each fact that changed.

    Raises:
        LabError: the lab has no such fact, the host is not up, or the file is for another host.
    """
    text = target.read_text() if target.exists() else template(host)
    others = sorted(set(re.findall(r"# lab: (?:address|host key) of (\S+)", text)) - {host})
    if others:
        raise LabError(
            f"{target.name} contains the address and the key of host {', '.join(others)}, not of {host}",
            f"run the command with HOST={others[0]}, or move the file away to use {host}",
        )
    renewed, changes = renew(text, fact)
    if not target.exists() or renewed != text:
        target.write_text(renewed)
    return [f"{target.name}: {change}" for change in changes] or [f"{target.name}: up to date"]


def template(host: str) -> str:
    """Return the text of the committed stack file, with the facts of ``host``.

    The host's alias stays web1.
    """
    return TEMPLATE.read_text().replace(f" of {machine.DEFAULT_HOST}\n", f" of {host}\n")


def renew(text: str, ask: Callable[[str], str]) -> tuple[str, list[str]]:
    """Return ``text`` with a new value from ``ask`` in every line that has the mark of a fact.

    Also return the changes.
    """
    changes: list[str] = []
    lines = text.splitlines(keepends=True)
    for index, line in enumerate(lines):
        found = _LINE.match(line.rstrip("\n"))
        if not found:
            continue
        value = f'"{ask(found["fact"])}"'
        if value != found["value"]:
            changes.append(f"{found['fact']} is {value}")
            lines[index] = f"{found['key']}{value}{found['mark']}\n"
    return "".join(lines), changes


def fact(name: str) -> str:
    """Return a fact of this machine's lab by its name in the file.

    Raises:
        LabError: there is no such fact.
    """
    known = {
        ("address", "of"): lambda host: network.on_segment(machine.find(host)[1].number).v4,
        ("IPv6", "address", "of"): lambda host: network.on_segment(machine.find(host)[1].number).v6,
        ("host", "key", "of"): keys.public_host_key,
        ("acme", "directory", "of"): lambda host: acme.of(machine.find(host)[1]).directory,
        ("image",): catalogue.reference,
    }
    alone: dict[str, Callable[[], object]] = {
        "authority": lambda: keys.authority().certificate,
        "login key": keys.client_key,
        "login public key": lambda: keys.client_key().with_suffix(".pub").read_text().strip(),
        "site of the shop": shop.site,
    }
    if name in alone:
        return str(alone[name]())
    *words, last = name.split()
    ask = known.get(tuple(words))
    if ask is None or (words == ["image"] and ":" not in last):
        raise LabError(
            f"Pulumi.lab.yaml has the mark `# lab: {name}`, which the lab does not know",
            f"use one of: {', '.join(alone)}, "
            + ", ".join(f"{' '.join(each)} {'NAME:TAG' if each[0] == 'image' else 'HOST'}" for each in known),
        )
    return ask(last)
