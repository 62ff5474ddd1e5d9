"""Derive the rules of ufw from the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.components.firewall.args import FirewallArgs, RuleArgs

WEB: Mapping[str, str] = {"80/tcp": "HTTP and certificates", "443/tcp": "HTTPS"}
"""The ports that a host with sites opens besides SSH, each with the reason."""


def opened(allow: Mapping[str, RuleArgs]) -> list[str]:
    """Return the match of each rule that opens a port. Each network that may use a port gets one rule."""
    return [
        f"{port} from {source}" if source else port
        for port, rule in allow.items()
        for source in rule.from_ or ("",)
    ]


def rules(args: FirewallArgs, *, web: bool) -> dict[str, str]:
    """Return all rules, as `UfwPolicy` takes them.

    ufw opens the public ports of containers too, because docker-proxy serves IPv6 and other containers
    through sockets of the host.
    """
    allowed = {**(WEB if web else {}), **dict.fromkeys(opened(args.allow), "from the settings")}
    return {
        **{f"in {what}": "allow # published by a container" for what in opened(args.public)},
        **{f"in {what}": f"allow # {why}" for what, why in allowed.items()},
        **{f"in {what}": f"deny # {why}" if why else "deny" for what, why in args.deny.items()},
    }
