"""The resource for a jail of fail2ban on a host, with the values of the running server."""

from __future__ import annotations

import contextlib
from types import MappingProxyType
from typing import TYPE_CHECKING

from portcullis.components.fail2ban import jail_options
from portcullis.components.fail2ban.facts import NEVER, JailDesired, JailFacts
from portcullis.host.guarded import GuardedProvider
from portcullis.host.provider import ABSENT, Normaliser, is_known
from portcullis.host.resource import HostResource
from portcullis.host.undeclared import TellsUndeclared, check_accepted
from portcullis.provider.changes import Line, Section, Severity, quoted, with_rest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pulumi

    from portcullis.host.host import Host
    from portcullis.provider.base import Props
    from portcullis.provider.changes import Change


class Fail2banJailProvider(TellsUndeclared, GuardedProvider):
    """Provider of `Fail2banJail`."""

    kind = "fail2ban.jails"
    section = Section.FIREWALL
    desired_type = JailDesired
    facts_type = JailFacts
    live = ("content", "enabled", "enforced", "options", "ignoreip", "overridden", "broken", "undeclared")
    identity = ("host", "jail")
    sets = MappingProxyType({"ignoreip": NEVER})
    reload = "systemctl reload fail2ban"

    def normalise(self, inputs: Normaliser) -> None:
        """Check the names and values of the options, because fail2ban itself does not check them."""
        jail = inputs.text("jail")
        if jail is not None:
            try:
                jail_options.jail_name(jail)
            except ValueError as error:
                inputs.fail("jail", str(error))
        inputs.keep("enabled", "content", "ignoreip", "path", "whole")
        given = inputs.news.get("options") or {}
        inputs.inputs["options"] = given
        # A refresh reads back the options that other files override.
        inputs.inputs["overridden"] = {}
        # A refresh reads back False if bans are missing in nftables.
        inputs.inputs["enforced"] = True
        # A refresh reads back the line with which fail2ban refuses its configuration.
        inputs.inputs["broken"] = ""
        check_accepted(inputs)
        if is_known(given):
            known = {name: value for name, value in given.items() if is_known(value)}
            texts, faults = jail_options.options(known)
            inputs.inputs["options"] = {**given, **texts}
            for fault in faults:
                inputs.fail("options", fault)
        ignored = inputs.news.get("ignoreip") or {}
        try:
            jail_options.ignored(ignored if is_known(ignored) else {})
        except ValueError as error:
            inputs.fail("ignoreip", str(error))

    def absent_inputs(self) -> Props:
        """Return the inputs of a jail that does not exist."""
        return {"content": ABSENT, "enabled": False}

    def subject(self, change: Change) -> str:
        """Return the word "jail" and the name of the jail."""
        return f"jail {change.props.get('jail', change.name)}"

    def differing(self, change: Change, subject: str) -> list[Line]:
        """Report whether the jail bans, and which addresses it never bans.

        If options have changed, the report has no extra line for the jail's file.
        """
        found = []
        if change.changes("enabled"):
            what = "does not run" if not change.live.get("enabled") else "runs"
            found.append(Line(subject, what, "", Severity.WRONG, at=("enabled",)))
        if change.changes("enforced"):
            what = "its bans are not in the packet filter"
            found.append(Line(subject, what, "up restores the bans", Severity.WRONG, at=("enforced",)))
        for address, live, _ in change.entries("ignoreip"):
            at = ("ignoreip", address)
            severity = Severity.OPEN if live and change.by_hand(at) else Severity.COSMETIC
            what = f"never bans {address}" if live else f"bans {address}"
            found.append(Line(subject, what, "", severity, at=at))
        for name in ("options", "overridden"):
            for key, live, goal in change.entries(name):
                what = _option(key, live, goal)
                severity = Severity.WRONG if change.by_hand((name, key)) else Severity.COSMETIC
                found.append(Line(subject, what, "", severity, at=(name, key)))
        of_file = ("content", "path") if found else ()
        found += self.undeclared(change) + self.refused(change, "fail2ban")
        return with_rest(change, subject, found, *of_file)


def _option(key: str, live: str | None, goal: str | None) -> str:
    """Describe how an option differs. Of long values, such as many log files, name the words that differ."""
    if live and goal and not (quoted(live) and quoted(goal)):
        has, wants = set(live.split()), set(goal.split())
        told = [f"has {quoted(one) or 'a long value'}" for one in sorted(has - wants)]
        told += [f"lacks {quoted(one) or 'a long value'}" for one in sorted(wants - has)]
        return f"{key} {', '.join(told)}"
    return f"{key} {quoted(live) or 'missing'}" + (f", declared {quoted(goal)}" if goal else "")


class Fail2banJail(HostResource):
    """A jail of fail2ban, which bans addresses with too many failures.

    The jail has its own file, which overrides the package's files. fail2ban must run before the jail is
    declared. After every change the resource reads the values of the running server, and fails if an option
    has no effect. The resource refuses a change that would ban the deploying machine. The host keeps a change
    only after a fresh login.

    Attributes:
        jail: the name of the jail.
        enabled: whether the jail runs.
        options: the values with which the jail runs. Durations in options are in seconds.
        ignoreip: addresses that the jail never bans.
        undeclared: undeclared files in fail2ban's folder, by path. Without `whole`, this map is empty.
    """

    jail: pulumi.Output[str]
    enabled: pulumi.Output[bool]
    options: pulumi.Output[dict[str, str]]
    ignoreip: pulumi.Output[dict[str, str]]
    undeclared: pulumi.Output[dict[str, str]]

    def __init__(
        self,
        name: str,
        *,
        host: Host | str,
        jail: str,
        options: Mapping[str, str | int | bool | Sequence[str]],
        ignoreip: Sequence[str] = (),
        enabled: bool = True,
        whole: bool = False,
        accepted: Mapping[str, str] | None = None,
        adopt: bool | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare a jail of fail2ban.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            jail: name of the jail, such as "sshd".
            options: the options of jail.conf(5). A name that fail2ban would ignore is refused. Durations are
                numbers of seconds, or texts such as "10m" and "7d".
            ignoreip: addresses and networks that the jail never bans, besides loopback.
            enabled: whether the jail runs.
            whole: also report undeclared files in fail2ban's folder. Set this argument on only one jail of
                each host.
            accepted: undeclared files that may stay in the folder, by path, each with the reason.
            adopt: take over an existing jail that somebody else set up.
            opts: resource options.
        """
        texts, faults = jail_options.options(options)
        path, content, never = "", "", list(ignoreip)
        if not faults:
            # The provider's check reports these faults together with all others.
            with contextlib.suppress(ValueError):
                never = jail_options.ignored(ignoreip)
                path = jail_options.jail_path(jail)
                content = jail_options.jail(name, jail, texts, never, enabled=enabled)
        super().__init__(
            Fail2banJailProvider,
            name,
            host=host,
            adopt=adopt,
            inputs={
                "jail": jail,
                "enabled": enabled,
                "options": {key: texts.get(key, value) for key, value in options.items()},
                "ignoreip": dict.fromkeys(never, NEVER),
                "path": path,
                "content": content,
                "overridden": {},
                "enforced": True,
                "whole": whole,
                "broken": "",
                "undeclared": {},
                "accepted": dict(accepted or {}),
            },
            opts=opts,
        )
