"""Policies for SSH logins."""

from __future__ import annotations

import re
from itertools import takewhile
from typing import TYPE_CHECKING

from portcullis.policy.model import Found, Policy, Resource
from portcullis.policy.network import hosts

if TYPE_CHECKING:
    from collections.abc import Iterator

_PASSWORDS = ("passwordauthentication", "kbdinteractiveauthentication", "challengeresponseauthentication")
_NARROW = {
    "permitrootlogin": ("no", "prohibit-password", "without-password", "forced-commands-only"),
    "permitemptypasswords": ("no",),
    "hostbasedauthentication": ("no",),
    "permituserenvironment": ("no",),
    "permittunnel": ("no",),
    "gatewayports": ("no",),
    "x11forwarding": ("no",),
    "strictmodes": ("yes",),
    "authorizedkeyscommand": ("none",),
    "trustedusercakeys": ("none",),
}
_TRUSTING = re.compile(r"stricthostkeychecking[= ]*(?:no|off|accept-new)|userknownhostsfile[= ]*/dev/null")
_FOLDER = "/etc/ssh/sshd_config"


def _lines(resource: Resource) -> list[tuple[str, str]]:
    """Return keyword and value of each line of a file that sshd reads.

    For other resources, the result is empty.
    """
    if not resource.is_host("SshServer") and not (
        resource.is_host("File") and resource.text("path").startswith(_FOLDER)
    ):
        return []
    lines = [re.split(r"[\s=]+", line.strip(), maxsplit=1) for line in resource.text("content").splitlines()]
    return [(w[0].lower(), w[1].strip().strip('"')) for w in lines if len(w) > 1 and not w[0].startswith("#")]


def _passwords(resource: Resource) -> Iterator[str]:
    lines = _lines(resource)
    for keyword, value in lines:
        if keyword in _PASSWORDS and value.lower() != "no":
            yield f"lets people log in with a password ({keyword} {value})"
        if keyword == "authenticationmethods" and any(
            "publickey" not in way.split(",") for way in value.lower().split()
        ):
            yield f"lets people log in without a key (AuthenticationMethods {value})"
    if resource.is_host("SshServer") and isinstance(resource.props.get("content"), str):
        # Lines after a Match apply to some clients only.
        said = {keyword for keyword, _ in takewhile(lambda line: line[0] != "match", lines)}
        for keyword, spelled in (
            ("passwordauthentication", "PasswordAuthentication no"),
            ("kbdinteractiveauthentication", "KbdInteractiveAuthentication no"),
        ):
            if keyword not in said:
                yield f"does not set {spelled}, and sshd allows passwords by default"


def _narrow(resource: Resource) -> Iterator[str]:
    for keyword, value in _lines(resource):
        allowed = _NARROW.get(keyword)
        if allowed and value.lower() not in allowed:
            yield f"weakens SSH: {keyword} {value} (allowed: {' or '.join(allowed)})"


def _options(line: str) -> list[str]:
    """Return the options before a key. A quoted option may contain spaces and commas."""
    found = re.match(r'(?:[^\s"]|"(?:[^"\\]|\\.)*")*', line.strip())
    first = found[0].lower() if found else ""
    if re.fullmatch(r"(?:sk-)?(?:ssh|ecdsa)-[a-z0-9@.-]+", first):
        return []
    return re.findall(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+', first)


def _tunnels(resource: Resource) -> Iterator[str]:
    if not resource.is_host("User"):
        return
    keys = resource.props.get("keys")
    for name, line in keys.items() if isinstance(keys, dict) else ():
        if not isinstance(line, str):
            continue
        options = _options(line)
        if "port-forwarding" in options and not any(option.startswith("permitopen=") for option in options):
            yield f"lets the key {name} reach every port of the host, and of its network (no permitopen)"
        for option in options:
            if option.startswith("permitopen=") and "*" in option:
                yield f"lets the key {name} reach more than one named port ({option})"
        if resource.text("shell").endswith(("nologin", "false")) and "restrict" not in options:
            yield f"lets the key {name} of a user without a shell do more than tunnel (no `restrict`)"


def _no_server(resources: list[Resource]) -> Iterator[Found]:
    there = {resource.text("host") for resource in resources if resource.is_host("SshServer")}
    for host in hosts(resources):
        if host not in there:
            yield Found(
                f"the host {host} has no SshServer: the default settings of the distribution allow passwords"
            )


def _pinned(resources: list[Resource]) -> Iterator[Found]:
    for resource in resources:
        if resource.type == "portcullis:index:HardenedHost" and resource.text("host_key") not in (
            "",
            "pinned",
        ):
            yield Found(
                f"trusts the host key of {resource.name} without a pinned key ({resource.text('host_key')})",
                resource,
            )
        options = " ".join([*resource.texts("sshOpts"), resource.text("sshOpts")]).lower()
        if resource.type == "pulumi:providers:docker" and _TRUSTING.search(options):
            yield Found("lets Docker's connection trust any host key", resource)
        connection = resource.props.get("connection")
        if resource.type.startswith("command:remote:") and isinstance(connection, dict):
            for end in (connection, connection.get("proxy")):
                if isinstance(end, dict) and not end.get("hostKey"):
                    yield Found("connects without a pinned host key (connection.hostKey)", resource)


POLICIES = (
    Policy(
        "ssh-without-passwords",
        "SSH accepts logins by key only.",
        "Machines guess passwords all day long.",
        "Remove the option from ssh.options, and give people keys under `users`.",
        _passwords,
    ),
    Policy(
        "ssh-stays-narrow",
        "sshd allows no root login by password, no tunnel devices, and no keys from other sources.",
        "Each of these options opens a way in or out that nobody watches.",
        "Remove the option from ssh.options. For a tunnel to a store, use portcullis:tunnels.",
        _narrow,
    ),
    Policy(
        "tunnels-are-limited",
        "A key for tunnels reaches the named ports only.",
        "Without named ports, a key reaches every service on the host. It also reaches other machines in "
        "the host's network.",
        "Declare the key under portcullis:tunnels, or write the options "
        'restrict,permitopen="ADDRESS:PORT" before the key.',
        _tunnels,
    ),
    Policy(
        "host-has-ssh-policy",
        "Every host that runs containers declares its SSH server.",
        "By the default settings of distributions, sshd allows logins with a password.",
        "Keep the component SshAccess (HardenedHost has it), or declare an SshServer for the host.",
        check_stack=_no_server,
    ),
    Policy(
        "host-key-pinned",
        "A host's public key is pinned before the first connection.",
        "Without a pinned key, an attacker in the network could pose as the host and receive all its "
        "secrets.",
        "Write hostKey from `ssh-keyscan`, compared with the provider's console, instead of trustHostKey.",
        check_stack=_pinned,
    ),
)
