"""Finds the command with which root removes an item that the inventory reports. The functions do no I/O.

Each map of the inventory has a table of patterns and commands. The patterns match the key and the text of an
entry, as the readers in `on_host` write them.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from portcullis.components.inventory import render
from portcullis.components.inventory.facts import IS_SERVED
from portcullis.host.strangers import EXTRACT, FROM_UCF

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NO_COMMAND = re.compile(
    rf"container [^\n]*\n{IS_SERVED}|"
    r"accept |reading |more\n|baseline\n|.*\n(?:cannot be read|gone; was: )|.*…(?:\n|$)",
    re.DOTALL,
)
"""Entries that no command undoes, and entries that were cut off because they were too long."""
# The end of a text: the time of the change, and the people who were logged in.
_WHEN = re.compile(r" \(changed \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ.*\)$")
_CHANGED = re.compile(r", was: |, its content changed$")

_WALK = f"systemctl start {render.UNIT}.service"
_DIVERT = "dpkg-divert --local --rename --remove {path}"
_REINSTALL = "apt-get install -y --reinstall -o Dpkg::Options::=--force-confmiss {package}"
"""Restores missing files of a package, and leaves its other files as they are."""
_PACKAGE = r"(?P<package>[a-z0-9][a-z0-9+.-]+)"
_UNKNOWN_FILE = (
    r"(?:(?:file|pipe|socket|disk device|device|thing) \d{4} \S+|link to [^,]+)"
    r"(?:, (?:runs as|has capabilities) [^,]+)*(?:, in no package)?$"
)
"""The text of a file of unknown origin. Only such files are removed."""
_RIGHTS = r", (?:Debian's is|an override of dpkg says) (?P<owner>[^\s,]+) (?P<mode>\d{4})(?:,|$)"
_SYSTEM = r"uid (?:[1-9]\d{0,2}|65534),(?! the same as)"
"""The text of an account that came with a package. Such accounts are locked, not removed."""
_SHELL = r"shell (?P<now>[^\s,]+)"
_FLUSHES = "nftables.service"
"""When this unit stops, it deletes all firewall rules of the kernel, also those of ufw, of Docker and of the
forward filter."""
_OWN_GROUP = "usermod -g {name} {name} || usermod -g nogroup {name}"

_Steps = tuple[tuple[tuple[str, str], ...], ...]
"""Steps. In each step, the first matching pattern gives the command."""

_COMMANDS: Mapping[str, _Steps] = {
    "accounts": (
        (
            (r"(?P<name>root)\n", ""),
            (r"(?P<name>\S+)\n.*, declared with shell ", ""),
            (r"group (?P<group>[^:]+): (?P<name>.+)\nmember by its primary group", _OWN_GROUP),
            (r"group (?P<group>[^:]+): (?P<name>.+)\nmember", "gpasswd -d {name} {group}"),
            (r"group (?P<group>.+)\nhas a password", "gpasswd -R {group}"),
            (r"linger (?P<name>.+)\n", "loginctl disable-linger {name}"),
            # Another account has the same uid. Its running processes must not stop `userdel`.
            (r"(?P<name>\S+)\n(?:is root by its number|uid \d+, the same as )", "userdel -f {name}"),
            (rf"\S+\n{_SYSTEM}", ""),
            (r"(?P<name>\S+)\nuid .*, home /", "userdel {name}"),
            (r"(?P<name>\S+)\nuid ", "userdel -r {name}"),
        ),
        (
            (rf"(?P<name>\S+)\n{_SYSTEM}.*(?:a|an EMPTY) password", "usermod -p '*' {name}"),
            (r"(?P<name>\S+)\nuid .*(?:a|an EMPTY) password.*, declared with", "usermod -p '*' {name}"),
        ),
        (
            (
                rf"(?P<name>\S+)\n{_SYSTEM}.*shell (?!\S*/(?:nologin|false|sync|true),)",
                "usermod -s /usr/sbin/nologin {name}",
            ),
            (
                rf"(?P<name>\S+)\nuid .*{_SHELL},.*declared with shell (?P<usual>(?!(?P=now)$)\S+)$",
                "usermod -s {usual} {name}",
            ),
        ),
        (
            (rf"(?P<name>\S+)\n{_SYSTEM}.*of root's group", _OWN_GROUP),
            (r"(?P<name>\S+)\nuid .*of root's group.*, declared with", _OWN_GROUP),
        ),
    ),
    "keys": (
        (
            (
                r"[^…]*…(?P<tail>[A-Za-z0-9+/]{16})(?![A-Za-z0-9+/]).*, in (?P<file>/.+)$",
                r"sed -i '\|{tail}|d' {file}",
            ),
        ),
    ),
    "files": (
        (
            (
                r"(?P<path>.+)\n(?:.*, )?diverted by hand to .*, where nothing is$",
                "dpkg-divert --local --no-rename --remove {path}",
            ),
            (r"(?P<path>.+)\ndiverted by hand to ", _DIVERT),
            (r"(?P<path>.+)\n.*, diverted by hand to ", "rm {path} && " + _DIVERT),
            (r"(?P<path>.+)\n.*, by an override of dpkg, ", "dpkg-statoverride --remove {path}"),
            (
                r"/etc/alternatives/(?P<name>.+)\nlink to (?P<target>.+), a choice of (?P=name) that no ",
                "update-alternatives --remove {name} {target}",
            ),
            (
                r".*\nlink to .*, (?:not a choice of|chosen by hand for) (?P<name>[^\s,]+)$",
                "update-alternatives --auto {name}",
            ),
            (r"(?P<path>.+)\n.*, Debian's leads to (?P<target>.+)$", "ln -sfn {target} {path}"),
            (
                r"(?P<path>(?P<home>/root|/home/[^/]+)/.+)\n.*, not as (?P<source>/.+) has it",
                "cp --remove-destination {source} {path} && chown -h --reference={home} {path}",
            ),
            (
                r"(?P<path>.+)\n.*, not as (?P<source>/\S+) has it",
                "cp --remove-destination {source} {path}",
            ),
            (r"(?P<path>.+)\nis missing, a copy of (?P<source>/\S+)$", "cp -p {source} {path}"),
            (
                r".*\nis missing, update-alternatives makes it for (?P<name>\S+)$",
                "update-alternatives --auto {name}",
            ),
            (r".*\nis missing, ldconfig makes it$", "ldconfig"),
            (r"(?P<path>.+)\n.*, (?:not as )?its package put it there", FROM_UCF),
            (r".*\n.*, (?:not as )?update-ca-certificates makes it", "update-ca-certificates --fresh"),
            # pam-auth-update keeps changed lines, so the file is removed first. pam-auth-update leaves
            # copies, so the copies are removed last.
            (
                r"(?P<path>.+)\n.*, not as pam-auth-update makes it",
                "rm {path} && pam-auth-update --force --package && rm -f /etc/pam.d/common-*.pam-old",
            ),
            (r"(?P<path>.+)\nfile .*, Debian's has no rules", ": > {path}"),
            (rf".*\nis missing, {_PACKAGE} ships it$", _REINSTALL),
            (rf"(?P<path>.+)\n.*, (?:not as )?{_PACKAGE} ships (?:it|it otherwise|a file)$", EXTRACT),
            (
                rf"(?P<path>/usr/local/share/ca-certificates/.+)\n{_UNKNOWN_FILE}",
                "rm {path} && update-ca-certificates --fresh",
            ),
            (rf"(?P<path>/.+)\n{_UNKNOWN_FILE}", "rm {path}"),
            (r"(?P<path>/.+)\nfolder .* with \d+ files$", "rm -r {path}"),
        ),
        ((rf"(?P<path>/.+)\n(?!link ).*{_RIGHTS}", "chown {owner} {path} && chmod {mode} {path}"),),
    ),
    "programs": (
        (
            (r"nightly walk\n", _WALK),
            (r"(?P<path>/.+)\n.*, in no package$", "rm {path}"),
            (rf".*\nis missing, {_PACKAGE} ships it$", _REINSTALL),
            (rf".*\n.*not as {_PACKAGE} ships it$", f"{_REINSTALL} && {_WALK}"),
            (r"(?P<path>/.+)\nfile \d+ root:.*, others than root can change it", "chmod go-w {path}"),
            (r"(?P<path>/.+)\n.*, others than root can change it", "chown root {path} && chmod go-w {path}"),
        ),
        ((r"(?P<path>/.+)\n.*, runs as [ug]id (?!.*(?:in no package|ships it)$)", "chmod u-s,g-s {path}"),),
        (
            (
                r"(?P<path>/.+)\n.*has capabilities (?!.*(?:in no package|ships it)$)",
                "python3 -c 'import os, sys; os.removexattr(sys.argv[1], \"security.capability\")' {path}",
            ),
        ),
    ),
    "packages": (
        (
            (r"(?P<name>\S+)\nheld [^,]*$", "apt-mark unhold {name}"),
            (r"(?P<name>\S+)\n(?:.*, )?held ", "apt-mark unhold {name} && apt-get purge -y {name}"),
            (r"(?P<name>\S+)\n(?:installed by hand|from )", "apt-get purge -y {name}"),
        ),
    ),
    "kernel": (
        (
            (r"sysctl (?P<key>\S+)\n.*; the kernel has nothing by itself$", "sysctl -w {key}="),
            (r"sysctl (?P<key>\S+)\n.*; the kernel has (?P<value>.+) by itself$", "sysctl -w {key}={value}"),
            (r"sysctl (?P<key>\S+)\n.*; /\S+ says (?P<value>.+)$", "sysctl -w {key}={value}"),
            # The kernel keeps these devices while their module is loaded.
            (
                r"link (?P<name>tunl0|gre0|gretap0|erspan0|sit0|ip6?_vti0|ip6tnl0|ip6gre0)\n",
                "ip link set {name} down",
            ),
            (r"link (?P<name>\S+)\n", "ip link del {name}"),
            (r"address (?P<address>\S+) on (?P<name>\S+)\n", "ip address del {address} dev {name}"),
            (r"rule (?P<number>\d+): .* \(IPv6\)\n", "ip -6 rule del pref {number}"),
            (r"rule (?P<number>\d+): ", "ip rule del pref {number}"),
        ),
    ),
    "docker": (
        (
            (r"container (?P<name>.+)\n", "docker rm -f {name}"),
            (r"network (?P<name>.+)\n", "docker network rm {name}"),
            (r"volume (?P<name>.+)\n", "docker volume rm {name}"),
            (r"image (?P<name>.+)\n", "docker rmi {name}"),
            (r"plugin (?P<name>.+)\n", "docker plugin rm -f {name}"),
            (r"member (?P<network>[^:]+): (?P<name>.+)\n", "docker network disconnect {network} {name}"),
            (r"swarm mode\n", "docker swarm leave --force && docker network rm docker_gwbridge"),
        ),
    ),
}

_RESTORES: Mapping[str, _Steps] = {
    "accounts": (
        (
            (
                (
                    rf"(?P<name>\S+)\nuid (?P<uid>\d+), {_SHELL}, (?:a|an EMPTY) password, "
                    r"was: uid (?P=uid), shell \S+, no password$"
                ),
                "usermod -p '*' {name}",
            ),
        ),
        (
            (
                (
                    rf"(?P<name>\S+)\nuid (?P<uid>\d+), {_SHELL}, [^,]+, "
                    r"was: uid (?P=uid), shell (?P<usual>(?!(?P=now),)[^\s,]+), [^,]+$"
                ),
                "usermod -s {usual} {name}",
            ),
        ),
    ),
    "files": (
        (
            (r"(?P<path>/.+)\nlink to .*, was: link to (?P<target>[^,]+)$", "ln -sfn {target} {path}"),
            (
                (
                    r"(?P<path>/.+)\n(?P<kind>file|folder) .*, was: (?P=kind) (?P<mode>\d{4}) "
                    r"(?P<owner>[^\s,]+)(?:, Debian's is .*)?$"
                ),
                "chown {owner} {path} && chmod {mode} {path}",
            ),
        ),
    ),
    "packages": (((r"(?P<name>\S+)\n(?:.*, )?held .*, was: (?!.*held )", "apt-mark unhold {name}"),),),
    "kernel": (((r"sysctl (?P<key>\S+)\n.*, was: (?P<value>[^;]+); ", "sysctl -w {key}={value}"),),),
}
"""Commands for things that came with the machine and were changed: they restore the former value."""


_VERBS = (
    (
        (
            r".*(?:apt-get (?:install|download)|pam-auth)|cp |ln |: >|ldconfig"
            r"|update-(?:ca|alternatives --auto)"
        ),
        "put it back",
    ),
    (r"systemctl.* enable", "put it back"),
    (r"ch(?:own|mod) |sysctl |usermod |python3 ", "mend it"),
    (r"systemctl start ", "start it"),
    (r"", "remove it"),
)
"""What a command does, in words for people."""


def remedy(name: str, key: str, text: str) -> str:
    """Return the advice for an entry, with a command to paste: `remove it yourself: rm /etc/cron.d/evil`.

    The advice is "" if no command undoes the entry. The function `command` explains the arguments.
    """
    way = command(name, key, text)
    verb = next(verb for pattern, verb in _VERBS if re.match(pattern, way))
    return f"{verb} yourself: {way}" if way else ""


def command(name: str, key: str, text: str) -> str:
    """Return the command with which root removes an entry on the host; "" if no command does that.

    Args:
        name: the map of the inventory.
        key: the entry's key.
        text: the entry's text.
    """
    text = _WHEN.sub("", text)
    if _NO_COMMAND.match(f"{key}\n{text}"):
        return ""
    is_changed = _CHANGED.search(text)
    if not is_changed and name == "units":
        return _of_unit(key, text)
    if not is_changed and name == "kernel" and key.startswith("route "):
        return _of_route(key, text)
    steps = (_RESTORES if is_changed else _COMMANDS).get(name, ())
    return " && ".join(filter(None, (_first(step, f"{key}\n{text}") for step in steps)))


def _first(step: tuple[tuple[str, str], ...], entry: str) -> str:
    for pattern, form in step:
        found = re.match(pattern, entry)
        if found:
            values = {name: _quoted(value or "") for name, value in found.groupdict().items()}
            return form.format(**values, cached=values.get("path", "").replace("/", ":"))
    return ""


def _quoted(value: str) -> str:
    """Return a value quoted for a shell.

    The agent writes `?` for each control character of a path. The pattern `[?[:cntrl:]]` matches a control
    character and a real `?`, and nothing else.
    """
    if not value.startswith("/"):
        return shlex.quote(value)
    return "[?[:cntrl:]]".join(shlex.quote(part) if part else "" for part in value.split("?"))


_UNIT_FILES = re.compile(
    r"(?:unit file|drop-in|no package has its) (/.+?)(?=, in place of| \(mode \d|, by a link|; |$)"
)


def _of_unit(key: str, text: str) -> str:
    """Return the command for a unit. The text may name several differences at once."""
    file = re.match(r"(?:generator|preset|runs at \w+) (/.*)", key)
    if file:
        return f"rm {_quoted(file[1])}; systemctl daemon-reload"
    name, manager = _quoted(key.removeprefix("user ")), "systemctl"
    if key.startswith("user "):
        manager = "systemctl --global"
    now = " --now" if manager == "systemctl" and name != _FLUSHES else ""
    said = []
    if "made by a command" in text:
        said.append(f"systemctl reset-failed {name}; systemctl stop {name}")
    if "runs, and nothing enables it" in text and name != _FLUSHES:
        said.append(f"systemctl stop {name}")
    if "masked" in text:
        said.append(f"{manager} unmask {'--runtime ' if 'until the next boot' in text else ''}{name}")
    if "disabled by hand" in text:
        said.append(f"{manager} enable {name}")
    # If the file replaces a package's unit, the package's unit stays enabled.
    if re.search(
        r"(?:unit file (?!.*in place of)|no package has its \S+/(?:system|user)/[^/;]+(?:;|$)|enabled for )",
        text,
    ):
        said.append(f"{manager} disable{now} {name}")
    if "another name of" in text or "its link masks it" in text:
        said.append(f"find /etc/systemd /run/systemd /usr/local/lib/systemd -type l -name {name} -delete")
    said += [f"rm {_quoted(path)}" for path in _paths(text)]
    if any(one.startswith(("rm ", "find ")) for one in said):
        said.append("systemctl daemon-reload")
    return "; ".join(said)


def _paths(text: str) -> Iterator[str]:
    """Yield the files that the command for a unit removes.

    If a unit is a link to a file elsewhere, `disable` removes the link.
    """
    for found in _UNIT_FILES.finditer(text):
        if not text[found.end() :].startswith(", by a link"):
            yield found[1]


def _of_route(key: str, text: str) -> str:
    """Return the command for a route. The key of a route with one hop has the syntax of `ip route`."""
    found = re.fullmatch(r"route ([\w.:/%@ -]+?)( \(IPv6\))?", key)
    if not found or key.count(" dev ") > 1 or key.count(" via ") > 1:
        return ""
    metric = re.search(r"metric (\d+)", text)
    words = found[1] + (f" metric {metric[1]}" if metric else "")
    if found[2] or ":" in words:
        return f"ip -6 route del {words}"
    # A route without an address may be IPv4 or IPv6.
    return (
        f"ip route del {words}"
        if re.search(r"\d\.\d", words)
        else f"ip route del {words} || ip -6 route del {words}"
    )
