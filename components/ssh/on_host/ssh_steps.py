"""Pure functions that plan the steps from the facts of an SSH server to the declared server."""

from __future__ import annotations

from portcullis.agent.step import Step, text_diff
from portcullis.agent.wire import ABSENT
from portcullis.components.ssh.facts import ALLOW, MODE, SshServerDesired, SshServerFacts

# No value of these options can lock anybody out.
_HARMLESS = frozenset(
    [
        "AllowAgentForwarding",
        "Banner",
        "Compression",
        "DebianBanner",
        "GatewayPorts",
        "LogLevel",
        "PermitTunnel",
        "PermitUserEnvironment",
        "PrintLastLog",
        "PrintMotd",
        "UseDNS",
        "X11Forwarding",
    ]
)


def steps(desired: SshServerDesired, facts: SshServerFacts, path: str) -> list[Step]:
    """The steps to the declared server. `path` is the drop-in's path, for the diff."""
    if not facts.exists:
        return [Step("server", "absent", "installed", "install")]
    wanted = wanted_ports(desired)
    content = with_ports(desired.content, wanted)
    found: list[Step] = []
    if facts.content != content:
        diff = text_diff(facts.content, content, path)
        found.append(Step("content", _lines(facts.content), _lines(content), "write", diff))
    elif facts.mode != MODE:
        found.append(Step("mode", facts.mode, MODE, "write"))
    if facts.broken:
        found.append(Step("config", "refused by sshd", "valid", "write", facts.broken))
    found += [
        Step(f"options.{name}", facts.options[name], value, "write")
        for name, value in desired.options.items()
        if facts.options.get(name, value) != value
    ]
    found += [
        Step(f"users.{user}.{name}", facts.users[user][name], value, "write")
        for user, given in desired.users.items()
        for name, value in given.items()
        if facts.users.get(user, given).get(name, value) != value
    ]
    if facts.port != ", ".join(wanted) and not facts.broken:
        found.append(Step("port", facts.port, ", ".join(wanted), "listen"))
    if facts.firewall is not None and facts.firewall != dict.fromkeys(wanted, ALLOW):
        have = ", ".join(f"{port} {what}" for port, what in facts.firewall.items()) or "no rule"
        found.append(Step("firewall", have, ", ".join(f"{port} {ALLOW}" for port in wanted), "rule"))
    if facts.stale:
        found.append(Step("stale", "True", "False", "reload"))
    return found


def wanted_ports(desired: SshServerDesired) -> list[str]:
    """The declared port, and the former ports that stay open for now, in ascending order."""
    return sorted({desired.port, *desired.listen_also}, key=int)


def with_ports(content: str, ports: list[str]) -> str:
    """The drop-in with a line for each port. `content` already has the line of the declared port."""
    lines = []
    for line in content.splitlines(keepends=True):
        lines.append(line)
        if line.startswith("Port "):
            kept = [port for port in ports if port not in line.split()[1:2]]
            lines += [f"Port {port}  # until a login on the new port has worked\n" for port in kept]
    return "".join(lines)


def port_text(configured: set[str], listening: set[str]) -> str:
    """The ports as a text for people.

    The text has a remark for a port that is only configured or only listening.
    """
    told = dict.fromkeys(configured & listening, "")
    told.update(dict.fromkeys(configured - listening, " (not listening)"))
    told.update(dict.fromkeys(listening - configured, " (until sshd reads its files)"))
    return ", ".join(port + told[port] for port in sorted(told, key=int))


def is_harmless(desired: SshServerDesired, facts: SshServerFacts, found: list[Step]) -> bool:
    """Return whether the steps change only comments and options that cannot lock anybody out."""
    if any(step.prop not in ("content", "mode") and not step.prop.startswith("options.") for step in found):
        return False
    have = _settings(facts.content)
    want = _settings(with_ports(desired.content, wanted_ports(desired)))
    changed = {line.partition(" ")[0] for line in have ^ want}
    return changed | {step.prop.partition(".")[2] for step in found} <= _HARMLESS | {""}


def _settings(content: str) -> set[str]:
    """The lines that set an option."""
    return {line.strip() for line in content.splitlines() if not line.strip().startswith(("#", "<"))}


def _lines(text: str) -> str:
    return "absent" if text == ABSENT else f"{text.count(chr(10))} lines"
