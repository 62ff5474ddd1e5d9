"""A host's SSH server: what its options are in effect, its port, and the firewall's rule for that port."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from portcullis.components.ssh.facts import ALLOW, MODE, SshServerDesired, SshServerFacts
from portcullis.host.connections import pinned_key_type, ssh_config_path
from portcullis.host.guarded import GuardedProvider
from portcullis.host.provider import ABSENT, Normaliser, is_known, stack_name
from portcullis.host.resource import HostResource
from portcullis.host.session import READ_TIMEOUT, Login
from portcullis.host.strangers import TellsStrangers, check_accepted
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
# Given by other inputs, or the start of what holds for the lines after it.
_NO_OPTIONS = frozenset(["port", "include", "match"])
_VALID = "valid"

_NOBODY: Mapping[str, Mapping[str, str]] = MappingProxyType({})

# On their way to the host only; see `SshServerProvider.apply` and `withdraw`.
_LISTEN_ALSO = "listen_also"
_PORT_AFTER = "__port_after"


class SshServerProvider(TellsStrangers, GuardedProvider):
    """Provider of `SshServer`."""

    kind = "ssh.ssh_servers"
    section = Section.ACCESS
    desired_type = SshServerDesired
    facts_type = SshServerFacts
    live = ("content", "mode", "port", "stale", "strangers")
    identity = ("host",)
    reload = "systemctl reload ssh"

    def normalise(self, inputs: Normaliser) -> None:
        """Check that text, port and options say the same."""
        content, port, login = inputs.text("content"), inputs.text("port"), inputs.text("login")
        if port is not None and not (port.isdigit() and 1 <= int(port) <= _MAX_PORT):
            inputs.fail("port", f"{port!r} is not a TCP port")
        elif content is not None and port is not None:
            lines = re.findall(r"^Port (.*)$", content, re.MULTILINE)
            if lines != [port]:
                inputs.fail("content", f"must have the line `Port {port}` once, and no other port")
        if login is not None and not _USER.match(login):
            inputs.fail("login", f"{login!r} is not the name of a user")
        inputs.inputs["options"] = inputs.news.get("options")
        _options(inputs, "options", inputs.news.get("options"))
        inputs.keep("users")
        users = inputs.news.get("users")
        for user, given in (users or {}).items() if is_known(users) else ():
            if not _USER.match(user):
                inputs.fail("users", f"{user!r} is not the name of a user")
            _options(inputs, f"users.{user}", given)
        check_accepted(inputs)
        # Read back as what is wrong with them.
        inputs.inputs |= {"mode": MODE, "config": _VALID, "stale": False}
        if port is not None:
            inputs.inputs["firewall"] = {port: ALLOW}

    def desired(self, props: Props) -> Any:
        """Add which host key is pinned, since it must still be shown."""
        # A refresh leaves in the state what was found: "22, 2022 (until sshd reads its files)".
        found = re.match(r"\d+", str(props["port"]))
        pinned = pinned_key_type(ssh_config_path(stack_name(props)), props["host"])
        port = found[0] if found else props["port"]
        return super().desired({**props, "port": port, "pinned": pinned})

    def live_inputs(self, facts: SshServerFacts) -> Props:
        """Add what can be told only at times: whether sshd takes its files, options, users, rules."""
        live = super().live_inputs(facts)
        live["config"] = f"refused by sshd: {facts.broken.splitlines()[0]}" if facts.broken else _VALID
        if facts.options:
            live["options"] = dict(facts.options)
        if facts.users:
            live["users"] = {user: dict(given) for user, given in facts.users.items()}
        if facts.firewall is not None:  # where there is no ufw, nothing is to be seen and nothing missing
            live["firewall"] = dict(facts.firewall)
        return live

    def absent_inputs(self) -> Props:
        """Return a host without an SSH server."""
        return {"content": ABSENT, "port": ABSENT}

    def login(self, props: Props) -> Login:
        """Return a login on the declared port, by the declared user: whoever deploys next."""
        return Login(port=int(props["port"]))

    def login_after_removal(self, props: Props, result: Json) -> Login:
        """Return a login on the port that the server has then."""
        del result
        return Login(port=int(props[_PORT_AFTER]))

    def apply(self, channel: Channel, item: Item, props: Props) -> Json:
        """Change; a port moves in two commits, and the old one goes only after a login on the new one."""
        former = [port for port in self._look(channel, item, props).ports if port != props["port"]]
        if former:
            self.commit(channel, item, {**props, _LISTEN_ALSO: former}, self.login(props))
        facts = self.commit(channel, item, props, self.login(props))
        channel.reached(int(props["port"]))  # the next run may declare another port, and has to find it here
        return facts

    def withdraw(self, channel: Channel, item: Item, props: Props, **more: Any) -> Json:
        """Give the server back as it was; a port moves back in two commits too."""
        facts = self._look(channel, item, props)
        before = facts.ports_before or (props["port"],)
        after = props["port"] if props["port"] in before else before[0]
        # Only its owner may touch it; `remove` says so by itself.
        if after != props["port"] and facts.owner == props["managed_by"]:
            # What others set meanwhile is theirs: it must not keep anybody from leaving.
            both = {**props, _LISTEN_ALSO: before, "adopt": True}
            self.commit(channel, item, both, Login(port=int(after)))
        result = super().withdraw(channel, item, {**props, _PORT_AFTER: after}, **more)
        if after != props["port"] and result["done"] in ("removed", "restored"):
            channel.reached(int(after))
        return result

    def _look(self, channel: Channel, item: Item, props: Props) -> SshServerFacts:
        """Return the facts, without those of an operation before."""
        answer = channel.request(
            "plan", timeout=READ_TIMEOUT, adopt=bool(props.get("adopt")), **self.asked(item, props)
        )
        facts: SshServerFacts = self._typed(answer["facts"])
        return facts

    def subject(self, change: Change) -> str:
        """Return the server."""
        return "sshd"

    def differing(self, change: Change, subject: str) -> list[Line]:
        """Say what else sshd does, option by option; a way in that was opened by hand is the worst."""
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
            # Where sshd refuses its files, nobody can tell which port they are about.
            unread = change.changes("config")
            told = difference(change, "port")
            found.append(Line("sshd", told, "", severity, at=("port",), follows=unread))
        for name, what in (("content", "its drop-in differs"), ("mode", difference(change, "mode"))):
            # The options say what a changed file does.
            if change.changes(name) and not (found and name == "content"):
                severity = Severity.WRONG if change.by_hand((name,)) else Severity.COSMETIC
                found.append(Line("sshd", what, "", severity, at=(name,)))
        of_file = ("content",) if found else ()
        found += self.strange(change)
        if change.changes("stale"):
            what = "runs on older files than those that are there"
            stale = Line("sshd", what, "up reloads it", Severity.WRONG, at=("stale",), follows=bool(found))
            found.append(stale)
            of_file = ("content",)
        return with_rest(change, "sshd", found, *of_file)


def _options(inputs: Normaliser, prop: str, options: Any) -> None:
    for name, value in (options or {}).items() if is_known(options) else ():
        if not _OPTION.match(name) or name.lower() in _NO_OPTIONS:
            inputs.fail(prop, f"{name!r} is not an option that can be declared here")
        elif is_known(value) and (not isinstance(value, str) or not value):
            inputs.fail(prop, f"the value of {name} must be a text")


class SshServer(HostResource):
    """The SSH server of a host, which has one.

    Its drop-in comes first among sshd's files, and every option is read back as sshd itself understands it
    (`sshd -T`), so that a line of somebody else's that wins shows as a difference, with its file and number.
    Each change is kept only after a login from outside; a port moves in two steps, with both open in between.
    The rule for the port is its own where ufw is installed: `ufw allow … comment 'portcullis ssh'`.

    Attributes:
        port: TCP port.
        options: option of sshd_config(5) to value.
        strangers: files that sshd reads and nobody declared: path to what each sets.
    """

    port: pulumi.Output[str]
    options: pulumi.Output[dict[str, str]]
    strangers: pulumi.Output[dict[str, str]]

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
            content: text of the drop-in, with one line `Port PORT`; `ssh/render/sshd.py` writes it.
            options: what has to hold in effect, each as the text has it.
            port: TCP port; the same as the host's in the settings.
            login: the user who deploys; options are read as they hold for them, for root, and for others.
            users: what has to hold for single users and not for everybody: user to options, each as a Match
                block of the text has it.
            accepted: files of others that may be among sshd's: path to the reason.
            adopt: take over a drop-in that is there and differs, and put lines of other files that win over
                ours out of force, until this is deleted.
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
                "strangers": {},
                "accepted": dict(accepted or {}),
            },
            opts=opts,
        )
