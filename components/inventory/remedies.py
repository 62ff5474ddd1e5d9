"""Turns the fixes that the agent offers into commands for root to paste. The functions do no I/O.

The agent sends each fix as an action and its operands. This module has the command of each action, and
quotes every operand. An operand that is no operand of its kind gives no command at all.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from portcullis.components.inventory import render
from portcullis.components.nginx.on_host.served_containers import MAY_BE_SERVED
from portcullis.host.undeclared import EXTRACT, FROM_UCF
from portcullis.printable import MARK

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_REMOVE, _RESTORE, _MEND, _START = "remove it", "put it back", "mend it", "start it"

_ACTIONS: Mapping[str, tuple[str, str]] = {
    # Files, and the lines of key files. The agent offers these only in folders that root alone may write.
    "remove-file": (_REMOVE, "rm {path}"),
    "remove-folder": (_REMOVE, "rm -r {path}"),
    "remove-certificate": (_REMOVE, "rm {path} && update-ca-certificates --fresh"),
    "remove-key": (_REMOVE, r"sed -i '\|{tail}|d' {path}"),
    "edit": (_REMOVE, "editor {path}"),
    "remove-override": (_REMOVE, "dpkg-statoverride --remove {path}"),
    "remove-diversion": (_REMOVE, "dpkg-divert --local --rename --remove {path}"),
    # The diverted file belongs to the package, and is missing.
    "forget-diversion": (_REMOVE, "dpkg-divert --local --no-rename --remove {path}"),
    "remove-choice": (_REMOVE, "update-alternatives --remove {name} {target}"),
    "choose": (_RESTORE, "update-alternatives --auto {name}"),
    "link": (_RESTORE, "ln -sfn {target} {path}"),
    "copy": (_RESTORE, "cp --remove-destination {source} {path}"),
    "copy-missing": (_RESTORE, "cp -p {source} {path}"),
    "copy-of-ucf": (_RESTORE, FROM_UCF),
    "extract": (_RESTORE, EXTRACT),
    # This restores missing files of a package, and leaves its other files as they are.
    "reinstall": (
        _RESTORE,
        "apt-get install -y --reinstall -o Dpkg::Options::=--force-confmiss {package}",
    ),
    "empty": (_RESTORE, ": > {path}"),
    "ldconfig": (_RESTORE, "ldconfig"),
    "certificates": (_RESTORE, "update-ca-certificates --fresh"),
    # pam-auth-update keeps changed lines, so the file is removed first. pam-auth-update leaves copies, so the
    # copies are removed last.
    "pam": (
        _RESTORE,
        "rm {path} && pam-auth-update --force --package && rm -f /etc/pam.d/common-*.pam-old",
    ),
    "rights": (_MEND, "chown {owner} {path} && chmod {mode} {path}"),
    # Programs.
    "close": (_MEND, "chmod go-w {path}"),
    "own": (_MEND, "chown root {path} && chmod go-w {path}"),
    "no-setuid": (_MEND, "chmod u-s,g-s {path}"),
    "no-capabilities": (
        _MEND,
        "python3 -c 'import os, sys; os.removexattr(sys.argv[1], \"security.capability\")' {path}",
    ),
    "walk": (_START, f"systemctl start {render.UNIT}.service"),
    # Accounts.
    "remove-account": (_REMOVE, "userdel {name}"),
    "remove-account-and-home": (_REMOVE, "userdel -r {name}"),
    # Another account has the same uid. Its running processes must not stop `userdel`.
    "remove-twin": (_REMOVE, "userdel -f {name}"),
    "lock": (_MEND, "usermod -p '*' {name}"),
    "shell": (_MEND, "usermod -s {shell} {name}"),
    "own-group": (_MEND, "usermod -g {name} {name} || usermod -g nogroup {name}"),
    "leave-group": (_REMOVE, "gpasswd -d {name} {group}"),
    "no-group-password": (_REMOVE, "gpasswd -R {group}"),
    "no-linger": (_REMOVE, "loginctl disable-linger {name}"),
    # Units.
    "forget-unit": (_REMOVE, "systemctl reset-failed {unit}; systemctl stop {unit}"),
    "stop": (_REMOVE, "systemctl stop {unit}"),
    "unmask": (_REMOVE, "systemctl unmask {unit}"),
    "unmask-until-boot": (_REMOVE, "systemctl unmask --runtime {unit}"),
    "unmask-global": (_REMOVE, "systemctl --global unmask {unit}"),
    "unmask-until-boot-global": (_REMOVE, "systemctl --global unmask --runtime {unit}"),
    "enable": (_RESTORE, "systemctl enable {unit}"),
    "enable-global": (_RESTORE, "systemctl --global enable {unit}"),
    "disable-and-stop": (_REMOVE, "systemctl disable --now {unit}"),
    "disable": (_REMOVE, "systemctl disable {unit}"),
    "disable-global": (_REMOVE, "systemctl --global disable {unit}"),
    "reload-units": (_REMOVE, "systemctl daemon-reload"),
    # Packages.
    "unhold": (_REMOVE, "apt-mark unhold {package}"),
    "purge": (_REMOVE, "apt-get purge -y {package}"),
    # The kernel.
    "sysctl": (_MEND, "sysctl -w {key}={value}"),
    "remove-link": (_REMOVE, "ip link del {name}"),
    "link-down": (_REMOVE, "ip link set {name} down"),
    "remove-address": (_REMOVE, "ip address del {address} dev {name}"),
    "remove-rule": (_REMOVE, "ip rule del pref {number}"),
    "remove-rule-6": (_REMOVE, "ip -6 rule del pref {number}"),
    "remove-route": (_REMOVE, "ip route del {words}"),
    "remove-route-6": (_REMOVE, "ip -6 route del {words}"),
    # A route without an address may be IPv4 or IPv6.
    "remove-route-4-or-6": (_REMOVE, "ip route del {words} || ip -6 route del {words}"),
    # Docker.
    "remove-container": (_REMOVE, "docker rm -f {name}"),
    "look-at-targets": (f"{MAY_BE_SERVED}, so look", "nginx -T | grep -E 'server |_pass '"),
    "remove-network": (_REMOVE, "docker network rm {name}"),
    "remove-volume": (_REMOVE, "docker volume rm {name}"),
    "remove-image": (_REMOVE, "docker rmi {name}"),
    "remove-plugin": (_REMOVE, "docker plugin rm -f {name}"),
    "disconnect": (_REMOVE, "docker network disconnect {network} {name}"),
    "leave-swarm": (_REMOVE, "docker swarm leave --force && docker network rm docker_gwbridge"),
}
"""For each action, what its command does in words for people, and the command.

The operands have the order in which the command first names them. `words` takes all operands that are left.
"""

_FIELD = re.compile(r"\{(\w+)\}")
_KINDS: Mapping[str, re.Pattern[str]] = {
    "path": re.compile(r"/.+"),
    "source": re.compile(r"/.+"),
    "tail": re.compile(r"[A-Za-z0-9+/]+"),
    "mode": re.compile(r"[0-7]{4}"),
    "number": re.compile(r"\d+"),
    "package": re.compile(r"[a-z0-9][a-z0-9+.-]+"),
    # systemctl reads other characters as patterns: systemd.unit(5), "String Escaping".
    "unit": re.compile(r"[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]*"),
    "value": re.compile(r".*"),
}
"""The form of operands that a program could read in another way. Any other operand must not look like an
option."""
_ANY = re.compile(r"[^-].*")


def remedy(name: str, fixes: Sequence[Sequence[str]]) -> str:
    """Return the advice for an entry, with a command to paste: `remove it yourself: rm /etc/cron.d/evil`.

    Args:
        name: the map of the inventory.
        fixes: the fixes that the agent offers for the entry, in their order. "" if there is none.
    """
    way = command(name, fixes)
    return f"{_ACTIONS[fixes[0][0]][0]} yourself: {way}" if way else ""


def command(name: str, fixes: Sequence[Sequence[str]]) -> str:
    """Return the command of some fixes; "" if there is none. The function `remedy` explains the arguments."""
    steps = [_step(*fix) for fix in fixes]
    # A unit that is not active or not enabled is no reason to leave its file.
    return ("; " if name == "units" else " && ").join(steps) if all(steps) else ""


def _step(action: str = "", *operands: str) -> str:
    _, form = _ACTIONS.get(action, ("", ""))
    names = [each for each in dict.fromkeys(_FIELD.findall(form)) if each != "cached"]
    if names == ["words"] and operands:
        names *= len(operands)
    if len(names) != len(operands) or not all(map(_is_usable, names, operands)):
        return ""
    values: dict[str, str] = {}
    for each, operand in zip(names, operands, strict=True):
        word = shlex.quote(operand)
        values[each] = f"{values[each]} {word}" if each in values else word
    return form.format(**values, cached=values.get("path", "").replace("/", ":"))


def _is_usable(name: str, operand: str) -> bool:
    """Whether an operand can be a part of a command. A text that was made printable is no operand."""
    is_whole = operand.isprintable() and MARK not in operand
    return is_whole and _KINDS.get(name, _ANY).fullmatch(operand) is not None
