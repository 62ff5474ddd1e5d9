"""The options that a jail may have, the form of each option, and the text of a jail's file.

fail2ban silently ignores an unknown option: with ``maxretries = 3``, a jail runs with the default of
``maxretry``. So our jails accept only the options in `OPTIONS`, and check the form of each value.

The options are explained in jail.conf(5) and https://github.com/fail2ban/fail2ban/blob/1.1.0/config/jail.conf
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from portcullis.components.fail2ban.facts import JAIL_NAME, jail_file
from portcullis.config.faults import VALUE, closest
from portcullis.rendering import header

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

FOLDER = "/etc/fail2ban"
SSH_JOURNAL = "_SYSTEMD_UNIT=ssh.service _UID=0 + _COMM=sshd _UID=0 + _COMM=sshd-session _UID=0"
LOOPBACK = ("127.0.0.0/8", "::1")

Value = str | int | bool | Sequence[str]
"""A value of an option, as people write it."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_NAMES = (("week", 604800), ("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a jail: the function that turns its value into text, and its comment in the file."""

    read: Callable[[object], str]
    why: str = ""


def jail_name(text: str) -> str:
    """Return the name of a jail, or raise ValueError for a name of another form than `JAIL_NAME`."""
    if not JAIL_NAME.match(text):
        raise ValueError(
            f"{text!r} is not a name for a jail; write a lowercase letter, then lowercase letters, digits, - "
            "and _"
        )
    return text


def jail_path(name: str) -> str:
    """Return the path of a jail's file, or raise ValueError."""
    return f"{FOLDER}/{jail_file(jail_name(name))}"


def seconds(value: object) -> int:
    """Return a length of time such as 600, "10m" or "7d" in seconds, or raise ValueError."""
    found = re.fullmatch(r"([1-9][0-9]{0,8})([smhdw]?)", str(value)) if value is not True else None
    if not found:
        raise ValueError("the value is not a length of time; write 600 (seconds), 10m, 12h, 7d or 8w")
    return int(found[1]) * _UNITS[found[2] or "s"]


def ignored(addresses: Iterable[str]) -> list[str]:
    """Return addresses and networks as fail2ban prints them, loopback first, or raise ValueError."""
    spelt = []
    for text in addresses:
        try:
            if "%" in text:  # Python takes any text after a % as the name of an interface
                raise ValueError  # noqa: TRY301 - the error of a library call is handled in the same way
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise ValueError(
                f"{text!r} is not an address or network; write 203.0.113.7 or 2001:db8::/32"
            ) from None
        if network.prefixlen == 0:
            raise ValueError(f"the network {text} contains every address, so the jail would ban nobody")
        one = network.prefixlen == network.max_prefixlen
        spelt.append(str(network.network_address if one else network))
    return [*LOOPBACK, *sorted(set(spelt) - set(LOOPBACK))]


def options(given: Mapping[str, object]) -> tuple[dict[str, str], list[str]]:
    """Return the valid options as texts, in the order of the file, and the faults of the others."""
    texts, faults = {}, []
    for name, value in given.items():
        if name in _ELSEWHERE:
            faults.append(f"{name} is not an option of this resource: {_ELSEWHERE[name]}")
        elif name not in OPTIONS:
            faults.append(f"{name} is not an option of a jail: {closest(name, OPTIONS)}")
        else:
            try:
                texts[name] = OPTIONS[name].read(value)
            except ValueError as error:
                faults.append(f"{name}: {value!r} {str(error).removeprefix(VALUE)}")
    if "filter" in given and "mode" in given:
        faults.append(
            f"mode has no effect together with filter: write filter = {given['filter']}[mode={given['mode']}]"
        )
    return {name: texts[name] for name in OPTIONS if name in texts}, faults


def jail(
    resource: str, name: str, texts: Mapping[str, str], ignoreip: Iterable[str], *, enabled: bool
) -> str:
    """Render the file of one jail. `texts` are the valid options that the function `options` returned."""
    lines = [f"[{jail_name(name)}]", f"enabled = {_flag(enabled)}"]
    for option, text in texts.items():
        why, kind = _PARTICULAR.get(text, OPTIONS[option].why), OPTIONS[option].read
        if kind is _span:
            why = f"{in_words(int(text))}{f': {why}' if why else '.'}"
        lines += [f"# {why}"] if why else []
        value = "\n    ".join(text.split()) if kind is _paths else text
        lines.append(f"{option} = {value}")
    lines += [
        "# fail2ban never bans this host itself and these addresses.",
        f"ignoreip = {' '.join(ignoreip)}",
    ]
    return (
        header(resource, f"This file configures the fail2ban jail {name}.") + "\n" + "\n".join(lines) + "\n"
    )


def in_words(count: int) -> str:
    """Return a number of seconds in words, such as 10 minutes or 1 week."""
    for name, unit in _NAMES:
        if count % unit == 0:
            return f"{count // unit} {name}{'s' if count != unit else ''}"
    raise AssertionError(count)


def _flag(value: object) -> str:
    if value in (True, "true"):
        return "true"
    if value in (False, "false"):
        return "false"
    raise ValueError("the value is neither true nor false")


def _number(value: object) -> str:
    if value is True or not re.fullmatch(r"[1-9][0-9]{0,5}", str(value)):
        raise ValueError("the value is not a number from 1 to 999999")
    return str(value)


def _span(value: object) -> str:
    return str(seconds(value))


def _form(pattern: str, what: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if (
            not isinstance(value, str | int)
            or isinstance(value, bool)
            or not re.fullmatch(pattern, str(value))
        ):
            raise ValueError(f"the value is not {what}")
        return str(value)

    return read


def _paths(value: object) -> str:
    """Read several paths from a list or from one text. The jail's file has one path per line."""
    texts = value.split() if isinstance(value, str) else value
    if isinstance(texts, list | tuple) and texts:
        plain = [
            text for text in texts if isinstance(text, str) and re.fullmatch(r"/[A-Za-z0-9._/*?-]+", text)
        ]
        if len(plain) == len(texts):
            return " ".join(plain)
    raise ValueError(
        "the value is not a path of log files or a list of such paths; write /var/log/nginx/*error.log"
    )


# A name with parameters in brackets, such as nftables[type=multiport].
_WITH_PARAMETERS = r"[a-z][a-z0-9_-]*(?:\[[a-z0-9_]+=[A-Za-z0-9_:.-]+(?:, ?[a-z0-9_]+=[A-Za-z0-9_:.-]+)*\])?"

OPTIONS: Mapping[str, Option] = {
    "filter": Option(
        _form(_WITH_PARAMETERS, "a filter, such as sshd[mode=aggressive]"),
        "This filter, a file in filter.d, says which log lines count as failures.",
    ),
    "mode": Option(
        _form(r"[a-z][a-z0-9-]*", "a mode of a filter"),
        "The mode of the filter decides which log lines count as failures.",
    ),
    "backend": Option(
        _form(r"auto|systemd|pyinotify|polling", "auto, systemd, pyinotify or polling"),
        "The jail reads the journal if this value is systemd. With any other value, the jail reads the "
        "files in logpath.",
    ),
    "journalmatch": Option(
        _form(
            r"_?[A-Z_]+=[A-Za-z0-9@._-]+(?: (?:\+ )?_?[A-Z_]+=[A-Za-z0-9@._-]+)*",
            'fields of the journal, such as _SYSTEMD_UNIT=ssh.service; a + between fields means "or"',
        ),
        'The jail reads these journal entries. A + between fields means "or".',
    ),
    "logpath": Option(_paths, "If one of these log files is missing, fail2ban does not start."),
    "logencoding": Option(_form(r"auto|[A-Za-z0-9-]+", "the name of an encoding")),
    "port": Option(
        _form(r"[a-z0-9-]+(?:[,:][a-z0-9-]+)*", "a port, or several ports with commas"),
        "A banned address cannot reach these ports.",
    ),
    "protocol": Option(_form(r"tcp|udp|tcp,udp", "tcp or udp")),
    "banaction": Option(
        _form(_WITH_PARAMETERS, "an action, such as nftables"),
        "This action, a file in action.d, has the commands that ban an address.",
    ),
    "maxretry": Option(_number, "fail2ban bans an address after this number of failures."),
    "findtime": Option(_span, "the time within which fail2ban counts the failures of an address."),
    "bantime": Option(_span, "how long the first ban lasts."),
    "bantime.increment": Option(
        _flag, "Each further ban of the same address lasts twice as long as the ban before."
    ),
    "bantime.factor": Option(
        _form(r"[0-9]+(?:\.[0-9]+)?", "a factor, such as 2"),
        "fail2ban multiplies the length of further bans by this factor.",
    ),
    "bantime.multipliers": Option(
        _form(r"[0-9]+(?: [0-9]+)*", "numbers with spaces between them"),
        "These are the lengths of the first, second and further bans, as multiples of bantime.",
    ),
    "bantime.maxtime": Option(_span, "how long a ban lasts at most."),
    "bantime.rndtime": Option(
        _span,
        "the longest random time that fail2ban adds to a ban, so that nobody can guess when the ban ends.",
    ),
    "bantime.overalljails": Option(_flag, "Earlier bans by other jails also make a ban longer."),
    "maxmatches": Option(_number, "fail2ban keeps this number of matching lines for each address."),
    "maxlines": Option(_number),
    "usedns": Option(_form(r"yes|no|warn|raw", "yes, no, warn or raw")),
    "ignoreself": Option(_flag),
}
"""Every option that our jails may have, in the order of the file."""

_PARTICULAR = {
    "sshd[mode=aggressive]": (
        "If sshd allows only keys, most attackers just open and close connections. The normal mode of the\n"
        "# filter does not count such connections."
    ),
    SSH_JOURNAL: (
        'Since OpenSSH 9.8, the process sshd-session logs a failed login. In the line below, + means "or".\n'
        "# sshd logs failed logins as root. Any user can start a process that has the name sshd and logs\n"
        "# false addresses, so only entries of root (_UID=0) count."
    ),
}
"""Comments for certain values, which say more than the comment of the option."""

_ELSEWHERE = {
    "enabled": "use the argument enabled=",
    "ignoreip": "use the argument ignoreip=",
    "action": "choose how to ban with banaction",
    "dbpurgeage": "write it into fail2ban.local, because it is no option of a jail",
}
