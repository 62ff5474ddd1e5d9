"""Show what the first `up` would change on a host that is already in use. `plan` changes nothing.

Pulumi's preview of a new resource does not show the present state of the host. `plan` runs the Pulumi program
to find the declared resources, and deploys nothing. Then `plan` asks each host what `up` would change, with
the function that `up` itself uses.

`plan` prints one line for each host resource. The line begins with one of four marks.
  "="  The resource is as declared.
  "~"  `up` would change the resource.
  "!"  `up` would change the resource, but the host would refuse the change.
  "?"  The declared value is known only after `up`.

Exit code: 0 if no host would refuse a change, 1 if a host would refuse a change or could not be asked.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pulumi.runtime import rpc

from portcullis import components, resources
from portcullis.cli import command
from portcullis.components.users.on_host import authorized_keys
from portcullis.config.faults import ArgumentsError, SettingsError
from portcullis.host.errors import ConnectionFailed, HostError
from portcullis.host.provider import HostProvider, stack_name
from portcullis.host.resource import HostResource
from portcullis.host.session import READ_TIMEOUT, session
from portcullis.project import project_name
from portcullis.recorder import HOST_TYPES, Recorder, plain, record, run_project

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from portcullis.provider.base import Props

_SSH_RULE = "no-ssh-rule"
"""The error code of a host that refuses a firewall without a rule for SSH.

`up` adds the rule for SSH first.
"""
_NO_DOCKER = "no-docker"
"""The error code of a host on which no Docker answers. `up` may install and start Docker first."""
_LATER = ("ContainerState", "Link", "Release", "Drain", "Exposure")
"""Kinds of resources that read what the same `up` creates, such as containers.

Before the first `up`, these containers do not exist on the host.
"""
_GENERATED = "known only after `up`: it depends on a value that `up` generates or reads"
_SHOWN = 60
"""A line shows at most this many characters of a value."""


@dataclass(frozen=True, slots=True)
class Declared:
    """A host resource as the Pulumi program declares it."""

    kind: str
    name: str
    props: Props
    known: bool = True
    """Whether all properties are known before `up`.

    A generated password, for example, is unknown before `up`.
    """


def declared_by_program(
    project: str, stack: str, config: dict[str, str], secret_keys: list[str]
) -> list[Declared]:
    """Run `__main__.py` with this configuration and return the host resources that it declares.

    Args:
        project: the project's name.
        stack: the stack's name.
        config: the values as texts, each under its full key, as in `pulumi config --json`.
        secret_keys: the keys whose values are encrypted. No error message quotes the values of these keys.
    """
    recorder = Recorder(lambda _type, _name: {"revision": ""})
    # As in a preview, a value that only a provider knows is unknown.
    record(
        recorder,
        run_project,
        project=project,
        stack=stack,
        preview=True,
        config=config,
        secret_keys=secret_keys,
    )
    return [
        # Without the marks of secrets: the values go only to the host and are never printed.
        Declared(
            kind,
            one.request.name,
            # In a real run the plugin gets the owner from the engine.
            {**plain(one.inputs), "managed_by": one.urn},
            rpc.UNKNOWN not in str(one.request.object),
        )
        for one in recorder.registered
        if (kind := one.request.type.removeprefix(HOST_TYPES)) != one.request.type
        and kind not in _LATER
        and _resource(kind) is not None
    ]


def provider_of(kind: str) -> HostProvider:
    """Return the provider of a kind of host resource, from the module that also has the resource's class."""
    resource = _resource(kind)
    if resource is None:
        raise ValueError(f"the resource type {kind!r} is not a host resource of Portcullis")
    provider: HostProvider = getattr(sys.modules[resource.__module__], f"{kind}Provider")()
    return provider


def _resource(kind: str) -> type[HostResource] | None:
    """Return the class of a kind of host resource, or None for other kinds."""
    found = getattr(resources, kind, None) or getattr(components, kind, None)
    return found if isinstance(found, type) and issubclass(found, HostResource) else None


def plan_lines(resource: Declared, declared: Sequence[Declared] = ()) -> list[str]:
    """Ask the host about the changes that `up` would make to one resource.

    Return the host's answer as lines for people.

    Args:
        resource: the declared resource.
        declared: all resources that the Pulumi program declares. `up` applies some of these resources first,
            and the host then accepts changes that it refuses now.

    Raises:
        ConnectionFailed: the host does not answer. In that case, no resource of this host can be checked.
    """
    if not resource.known:
        return [f"? {resource.props['host']}: {resource.kind} {resource.name}", f"    {_GENERATED}"]
    provider = provider_of(resource.kind)
    checked = provider.check({}, resource.props)
    props: Props = checked.inputs
    title = f"{props['host']}: {resource.kind} {resource.name}"
    if checked.failures:
        return [f"! {title}", *(f"    {f.property}: {f.reason}" for f in checked.failures)]
    item = provider.item(props)
    try:
        found = session(props["host"], stack_name(props)).request(
            "plan", timeout=READ_TIMEOUT, adopt=bool(props.get("adopt")), **provider.asked(item, props)
        )
    except ConnectionFailed:
        raise
    except HostError as error:
        return [f"! {title}", *("    " + line for line in str(error).splitlines())]
    if not found["steps"]:
        return [f"= {title}"]
    secret = bool(props.get("secret"))
    lines = [f"    {step['property']}: {_short(step, secret=secret)}" for step in found["steps"]]
    refusal = found["refusal"]
    if refusal and _settled_by_then(resource, found, declared):
        refusal = None
    if refusal:
        lines += [
            "    " + line
            for line in [refusal["message"], *refusal["detail"].splitlines(), refusal["hint"]]
            if line
        ]
    return [f"{'!' if refusal else '~'} {title}", *lines]


def _settled_by_then(resource: Declared, found: dict[str, Any], declared: Sequence[Declared]) -> bool:
    """Return whether `up` first applies another resource, and the host then accepts the change."""
    before = [one for one in declared if one.props["host"] == resource.props["host"] and one is not resource]
    if found["refusal"]["code"] == _SSH_RULE:
        return any(one.kind == "SshServer" for one in before)
    if found["refusal"]["code"] == _NO_DOCKER:
        return any(one.kind == "Service" and one.props.get("unit") == "docker.service" for one in before)
    # The host gives up root's keys as soon as declared users have all of them.
    keys = (
        authorized_keys.parse(line)
        for one in before
        if one.kind == "User"
        for line in one.props["keys"].values()
    )
    theirs = {f"keys.{key.fingerprint}" for key in keys if key}
    root = resource.kind == "User" and resource.props["user"] == "root"
    return root and {step["property"] for step in found["steps"]} <= theirs


def _short(step: dict[str, Any], *, secret: bool) -> str:
    if secret and step["property"] == "content":
        return "[secret]"
    have, want = (
        text if len(text := str(step[key])) <= _SHOWN else text[:_SHOWN] + "…" for key in ("have", "want")
    )
    return f"{have!r} => {want!r}"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    command.add_stack(parser)


def run(options: argparse.Namespace) -> int:
    """Print a line for each host resource."""
    stack = command.stack_of(options.stack)
    config, secret_keys = command.texts(command.settings(stack))
    try:
        declared = declared_by_program(project_name(Path.cwd()), stack, config, secret_keys)
    except SystemExit:
        return 1  # the program has printed the reason
    except (SettingsError, ArgumentsError, OSError) as error:
        raise command.Failed(f"the Pulumi program cannot run: {error}") from None
    except Exception as error:  # noqa: BLE001 - a fault of the program; its text may quote a secret setting
        cause = f"{type(error).__name__} in {command.place_in_project(error)}"
        raise command.Failed(
            f"the Pulumi program fails: {cause}\n  -> `portcullis preview` shows more"
        ) from None
    return 1 if report(declared) else 0


def report(declared: Sequence[Declared]) -> int:
    """Print the changes that `up` would make to each resource.

    Return the number of resources whose change a host would refuse. If a host does not answer, print one
    message for all its resources.
    """
    refused = 0
    not_asked: Counter[str] = Counter()
    for resource in declared:
        host = resource.props["host"]
        try:
            lines = plan_lines(resource, declared)
        except ConnectionFailed as error:
            not_asked[host] += 1
            if not_asked[host] > 1:
                continue
            lines = [f"! {host}", *("    " + line for line in str(error).splitlines())]
        refused += lines[0].startswith("!")
        print(*lines, sep="\n", flush=True)  # noqa: T201
    for host, count in not_asked.items():
        print(f"! {host}: {count} resources could not be checked")  # noqa: T201
    return refused
