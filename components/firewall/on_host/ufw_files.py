"""Reads ufw's files, compares them with the shipped files, and changes settings in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from portcullis.agent import disk
from portcullis.agent.errors import AgentError
from portcullis.agent.step import text_diff
from portcullis.components.firewall.facts import SETTINGS, SHIPPED
from portcullis.components.firewall.on_host.ufw_rules import FAMILIES, parse_tuples

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from portcullis.agent.machine import Machine
    from portcullis.components.firewall.on_host.ufw_rules import Rules

SUFFIX = {"4": "", "6": "6"}
RULES = ("user.rules", "user6.rules")
_VARIABLES: Mapping[str, str] = {
    "incoming": "DEFAULT_INPUT_POLICY",
    "outgoing": "DEFAULT_OUTPUT_POLICY",
    "routed": "DEFAULT_FORWARD_POLICY",
}
_POLICIES = {"ACCEPT": "allow", "DROP": "deny", "REJECT": "reject"}


@dataclass(frozen=True)
class Files:
    """The content of ufw's files.

    Attributes:
        enabled: whether ufw's configuration says that it runs and starts at boot.
        logging: the level of ufw's log.
        defaults: the action for packets that no rule matches, by direction.
        settings: the present values of the keys of `SETTINGS`.
        altered: files that differ from the package's files: name → ``changed`` or ``absent``.
        rules: the rules of each address family, in order.
        texts: the texts of the files that ufw loads into the kernel, by name.
    """

    enabled: bool
    logging: str
    defaults: dict[str, str]
    settings: dict[str, str]
    altered: dict[str, str]
    rules: Rules
    texts: dict[str, str]

    def loaded(self, family: str) -> list[str]:
        """Return the texts of one address family, in the order in which ufw loads these files."""
        return [self.texts[f"{name}{SUFFIX[family]}.rules"] for name in ("before", "after", "user")]


def read(machine: Machine, custom: Collection[str]) -> Files:
    """Read all files of ufw. Raises `AgentError` (``unreadable``)."""
    conf = _settings(_text(machine.ufw / "ufw.conf"))
    defaults = _settings(_text(machine.ufw.parent / "default" / "ufw"))
    texts = {name: _text(machine.ufw / name) for name in (*SHIPPED, *RULES)}
    altered = {}
    for name in (*SHIPPED, *RULES):
        if not (machine.ufw / name).exists():
            altered[name] = "absent"
        elif name in SHIPPED and name not in custom and texts[name] != _text(template(machine, name)):
            altered[name] = "changed"
    try:
        rules = {family: parse_tuples(texts[f"user{SUFFIX[family]}.rules"]) for family in FAMILIES}
    except ValueError as error:
        raise AgentError(
            "unreadable",
            f"the host has an invalid rule file of ufw: {error}",
            prop="rules",
            hint=f"repair {machine.ufw}/user.rules or user6.rules by hand",
        ) from None
    return Files(
        enabled=conf.get("ENABLED", "").lower() == "yes",
        logging=conf.get("LOGLEVEL", "").lower(),
        defaults={
            direction: _POLICIES.get(defaults.get(key, "").upper(), defaults.get(key, ""))
            for direction, key in _VARIABLES.items()
        },
        settings={key: defaults.get(key, "") for key in SETTINGS},
        altered=altered,
        rules=rules,
        texts=texts,
    )


def template(machine: Machine, name: str) -> Path:
    """Return the path of the unchanged copy that ufw's package keeps of a file."""
    return machine.ufw_shipped / name if name.endswith(".init") else machine.ufw_shipped / "iptables" / name


def difference(machine: Machine, name: str, text: str) -> str:
    """Return the difference between a file and the shipped file, as a text for people."""
    return text_diff(text, _text(template(machine, name)), str(machine.ufw / name))


def ship(machine: Machine, name: str) -> None:
    """Replace a file of ufw by the package's own copy. Raises `AgentError`."""
    put(machine, name, _text(template(machine, name)))


def put(machine: Machine, name: str, text: str) -> None:
    """Write one of ufw's files, with the mode that the package gives the file. Raises `AgentError`."""
    disk.write(machine.ufw / name, text.encode("utf-8", "surrogateescape"), mode=0o640)


def change_settings(machine: Machine, wanted: Mapping[str, str]) -> None:
    """Set variables in /etc/default/ufw, and keep the other lines of the file. Raises `AgentError`."""
    path = machine.ufw.parent / "default" / "ufw"
    text = _text(path)
    for key, value in wanted.items():
        pattern = re.compile(rf"^{key}=.*$", re.MULTILINE)
        # ufw and the shell that starts it use the last line of a variable. We write the value into every line
        # of the variable.
        text, count = pattern.subn(f"{key}={value}", text)
        text += "" if count else f"{key}={value}\n"
    try:
        status = path.stat()
    except OSError as error:
        raise disk.unreadable(error, path) from None
    disk.write(
        path, text.encode("utf-8", "surrogateescape"),
        mode=status.st_mode & 0o7777, uid=status.st_uid, gid=status.st_gid,
    )  # fmt: skip


def _settings(text: str) -> dict[str, str]:
    """Return the values of the ``KEY="value"`` lines in a file that a shell sources."""
    return {
        match[1]: match[3] for match in re.finditer(r"^(\w+)=([\"']?)([^\"'\n]*)\2\s*$", text, re.MULTILINE)
    }


def _text(path: Path) -> str:
    """Return the text of a file; "" for a missing file. Raises `AgentError` (``unreadable``)."""
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise disk.unreadable(error, path) from None
