"""A host's SSH server: its options in effect, its port, and the firewall's rule for that port."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from portcullis.components.ssh.facts import ALLOW, MODE, SshServerDesired, SshServerFacts
from portcullis.host.connections import pinned_key_type, ssh_config_path
from portcullis.host.errors import not_ours
from portcullis.host.guarded import GuardedProvider
from portcullis.host.provider import ABSENT, Normaliser, is_known, stack_name
from portcullis.host.resource import HostResource
from portcullis.host.session import READ_TIMEOUT, Login
from portcullis.host.undeclared import TellsUndeclared, check_accepted
from portcullis.provider.changes import Line, Section, Severity, difference, quoted, with_rest

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pulumi

    from portcullis.host.agent_process import Json
    from portcullis.host.host import Host
    from portcullis.host.session import Channel
    from portcullis.host.survey import Item
    from portcullis.provider.base import Props
    from portcullis.provider.changes import Change

_MAX_PORT = 65535
_OPTION = re.compile(r"[A-Za-z][A-Za-z0-9]*\Z")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\$?\Z")
# Other inputs set the port. Include and Match change the meaning of the lines after them.
_NO_OPTIONS = frozenset(["port", "include", "match"])
_VALID = "valid"

_NOBODY: Mapping[str, Mapping[str, str]] = MappingProxyType({})

# The provider sends these properties to the host and never stores them; see `SshServerProvider.apply` and
# `withdraw`.
_LISTEN_ALSO = "listen_also"
_PORT_AFTER = "__port_after"


class SshServerProvider(TellsUndeclared, GuardedProvider):
    """Provider of `SshServer`."""

    kind = "ssh.ssh_servers"
    section = Section.ACCESS
    desired_type = SshServerDesired
    facts_type = SshServerFacts
    live = ("content", "mode", "port", "stale", "undeclared")
    identity = ("host",)
    reload = "systemctl reload ssh"

    def normalise(self, inputs: Normaliser) -> None:
        """Check the values, and that the drop-in has a line for the port."""
        content, port, login = inputs.text("content"), inputs.text("port"), inputs.text("login")
        if port is not None and not (re.fullmatch("[0-9]{1,5}", port) and 1 <= int(port) <= _MAX_PORT):
            inputs.fail("port", f"{port!r} is not a TCP port")
        elif content is not None and port is not None:
            lines = re.findall(r"^Port (.*)$", content, re.MULTILINE)
            if lines != [port]:
                inputs.fail("content", f"must have the line `Port {port}` once, and no other port")
        if login is not None and not _USER.match(login):
            inputs.fail("login", f"{login!r} is not a user name")
        inputs.inputs["options"] = inputs.news.get("options")
        _options(inputs, "options", inputs.news.get("options"))
        inputs.keep("users")
        users = inputs.news.get("users")
        for user, given in (users or {}).items() if is_known(users) else ():
            if not _USER.match(user):
                inputs.fail("users", f"{user!r} is not a user name")
            _options(inputs, f"users.{user}", given)
        check_accepted(inputs)
        # A read returns other values here if something is wrong on the host.
        inputs.inputs |= {"mode": MODE, "config": _VALID, "stale": False}
        if port is not None:
            inputs.inputs["firewall"] = {port: ALLOW}

    def desired(self, props: Props) -> Any:
        """Add the type of the pinned host key, because sshd must still offer that key."""
        # After a refresh, the state has the text from the host: "22, 2022 (until sshd reads its files)".
        found = re.match(r"\d+", str(props["port"]))
        pinned = pinned_key_type(ssh_config_path(stack_name(props)), props["host"])
        port = found[0] if found else props["port"]
        return super().desired({**props, "port": port, "pinned": pinned})

    def live_inputs(self, facts: SshServerFacts) -> Props:
        """Add the properties that a read cannot always give: config, options, users and firewall rules."""
        live = super().live_inputs(facts)
        live["config"] = f"refused by sshd: {facts.broken.splitlines()[0]}" if facts.broken else _VALID
        if facts.options:
            live["options"] = dict(facts.options)
        if facts.users:
            live["users"] = {user: dict(given) for user, given in facts.users.items()}
        if facts.firewall is not None:  # without ufw there are no rules, and no rule is missing
            live["firewall"] = dict(facts.firewall)
        return live

    def absent_inputs(self) -> Props:
        """Return the inputs of a host without an SSH server."""
        return {"content": ABSENT, "port": ABSENT}

    def login(self, props: Props) -> Login:
        """Return a login on the declared port, by the declared user. The next deploy logs in the same way."""
        return Login(port=int(props["port"]))

    def login_after_removal(self, props: Props, result: Json) -> Login:
        """Return a login on the port that the server has after the removal."""
        del result
        after = props[_PORT_AFTER]
        # After a refresh that found no server, or no valid answer, the port is unknown.
        return Login(port=int(after)) if re.fullmatch(r"\d{1,5}", after) else Login()

    def apply(self, channel: Channel, item: Item, props: Props) -> Json:
        """Apply the change.

        A port changes in two steps: the old port closes only after a login on the new port.
        """
        former = [port for port in self._look(channel, item, props).ports if port != props["port"]]
        if former:
            self.commit(channel, item, {**props, _LISTEN_ALSO: former}, self.login(props))
        facts = self.commit(channel, item, props, self.login(props))
        # The next deploy may declare another port, but must still find the host on this port.
        channel.reached(int(props["port"]))
        return facts

    def withdraw(self, channel: Channel, item: Item, props: Props, **more: Any) -> Json:
        """Restore the server as it was before. The former port comes back in two steps, too."""
        facts = self._look(channel, item, props)
        port = self.desired(props).port
        before = facts.ports_before or (port,)
        after = port if port in before else before[0]
        # Only the owner may change the server. `remove` raises an error for everybody else.
        if after != port and facts.owner == props["managed_by"]:
            # `adopt`: lines that somebody added since then must not stop the removal.
            both = {**props, _LISTEN_ALSO: before, "adopt": True}
            self.commit(channel, item, both, Login(port=int(after)))
        result = super().withdraw(channel, item, {**props, _PORT_AFTER: after}, **more)
        if after != port and result["done"] in ("removed", "restored"):
            channel.reached(int(after))
        return result

    def _look(self, channel: Channel, item: Item, props: Props) -> SshServerFacts:
        """Return fresh facts from the host, not the facts of the last read."""
        answer = channel.request(
            "plan", timeout=READ_TIMEOUT, adopt=bool(props.get("adopt")), **self.asked(item, props)
        )
        facts: SshServerFacts = self._typed(answer["facts"])
        if not all(re.fullmatch(r"\d{1,5}", port) for port in (*facts.ports, *facts.ports_before)):
            raise not_ours("the port of the SSH server in the agent's answer is not a number")
        return facts

    def subject(self, change: Change) -> str:
        """Return the server's name."""
        return "sshd"

    def differing(self, change: Change, subject: str) -> list[Line]:
        """Return a line for each option, rule, port and file that differs.

        A change that somebody made by hand gets a higher severity than other differences.
        """
        found = []
        for name, who in (("options", "everybody"), ("users", "")):
            for key, live, goal in change.entries(name):
                at = (name, key)
                given = goal if isinstance(goal, dict) else {}
                told = (
                    ", ".join(
                        f"{option} {quoted(value)}"
                        for option, value in live.items()
                        if value != given.get(option)
                    )
                    if isinstance(live, dict)
                    else f"{key} {live}, declared {goal}"
                )
                severity = Severity.OPEN if change.by_hand(at) else Severity.COSMETIC
                found.append(Line("sshd", f"{'' if who else f'for {key}: '}{told}", "", severity, at=at))
        for key, live, goal in change.entries("firewall"):
            at = ("firewall", key)
            what = f"port {key} is not open in ufw" if live is None else f"port {key} in ufw: {live}"
            found.append(Line("sshd", what if goal else f"port {key} is open in ufw", at=at))
        if change.changes("config") and change.live.get("config"):
            found.append(Line("sshd", str(change.live["config"]), "", Severity.WRONG, at=("config",)))
        if change.changes("port"):
            severity = Severity.WRONG if change.by_hand(("port",)) else Severity.COSMETIC
            # While sshd refuses its files, the port in these files is unknown.
            unread = change.changes("config")
            told = difference(change, "port")
            found.append(Line("sshd", told, "", severity, at=("port",), follows=unread))
        for name, what in (("content", "the drop-in differs"), ("mode", difference(change, "mode"))):
            # The lines about options already say what a changed drop-in does.
            if change.changes(name) and not (found and name == "content"):
                severity = Severity.WRONG if change.by_hand((name,)) else Severity.COSMETIC
                found.append(Line("sshd", what, "", severity, at=(name,)))
        of_file = ("content",) if found else ()
        found += self.undeclared(change)
        if change.changes("stale"):
            what = "runs on older files than those on the host"
            stale = Line("sshd", what, "up reloads it", Severity.WRONG, at=("stale",), follows=bool(found))
            found.append(stale)
            of_file = ("content",)
        return with_rest(change, "sshd", found, *of_file)


def _options(inputs: Normaliser, prop: str, options: Any) -> None:
    for name, value in (options or {}).items() if is_known(options) else ():
        if not _OPTION.match(name) or name.lower() in _NO_OPTIONS:
            inputs.fail(prop, f"{name!r} is not an option that SshServer can declare")
        elif is_known(value) and (not isinstance(value, str) or not value):
            inputs.fail(prop, f"the value of {name} must be a non-empty text")


class SshServer(HostResource):
    """The SSH server of a host. A host has only one `SshServer`.

    sshd reads our drop-in before the other files. `sshd -T` shows which value of each option is in effect. If
    a line in another file wins over ours, the preview shows the file and the line number. A change stays only
    after a login from outside has worked. A port changes in two steps, and both ports are open in between. If
    ufw is installed, the port has a rule of its own with the comment `portcullis ssh`.

    Attributes:
        port: TCP port.
        options: the options of sshd_config(5) in effect, as a map of keyword to value.
        undeclared: undeclared files that sshd reads: by path, the options that the file sets.
    """

    port: pulumi.Output[str]
    options: pulumi.Output[dict[str, str]]
    undeclared: pulumi.Output[dict[str, str]]

    def __init__(
        self,
        name: str,
        *,
        host: Host | str,
        content: str,
        options: Mapping[str, str],
        port: int = 22,
        login: str = "root",
        users: Mapping[str, Mapping[str, str]] = _NOBODY,
        accepted: Mapping[str, str] | None = None,
        adopt: bool | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the server.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            content: text of the drop-in, with one line `Port PORT`; `ssh/render/sshd.py` renders this text.
            options: options that must be in effect, with the values that `content` gives them.
            port: TCP port; the same as the host's in the settings.
            login: the user who deploys. A refresh reads the options in effect for `login`, for root and for
                any other user.
            users: options that must be in effect for single users only, by user. `content` must have a Match
                block for each of these users.
            accepted: undeclared files that sshd may read, by path, each with the reason.
            adopt: replace an existing drop-in that differs from the declared one. Lines in other files that
                win over ours become comments until this resource is deleted.
            opts: resource options.
        """
        super().__init__(
            SshServerProvider,
            name,
            host=host,
            adopt=adopt,
            inputs={
                "content": content,
                "options": dict(options),
                "port": str(port),
                "login": login,
                **({"users": {user: dict(given) for user, given in users.items()}} if users else {}),
                "firewall": {str(port): ALLOW},
                "mode": MODE,
                "config": _VALID,
                "stale": False,
                "undeclared": {},
                "accepted": dict(accepted or {}),
            },
            opts=opts,
        )
