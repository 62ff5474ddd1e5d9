"""What the first `up` would do to what a host has already. Read only.

Pulumi's own preview of a create cannot show what already stands on a host. This runs the program with
recorded resources, and asks each host with the very function that `up` uses. It prints a line for each host
resource: `=` is as declared, `~` would change, `!` would be refused, `?` cannot be told before `up`.

Exit status: 0, `up` would not be refused; 1, it would, or nothing could be asked.
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
"""What the host refuses as long as `up` has not let SSH through the firewall."""
_LATER = ("ContainerState", "Release", "Drain", "Exposure")
"""Kinds that are about what the same `up` makes: nothing of theirs can be there before it."""
_GENERATED = "follows from what `up` generates or learns"
_SHOWN = 60
"""Characters of a value that a line shows."""


@dataclass(frozen=True, slots=True)
class Declared:
    """A host resource as the program declares it."""

    kind: str
    name: str
    props: Props
    known: bool = True
    """Whether all of it can be told before `up`: a generated password cannot, nor what comes of one."""


def declared_by_program(
    project: str, stack: str, config: dict[str, str], secret_keys: list[str]
) -> list[Declared]:
    """Run `__main__.py` with this configuration and return its host resources.

    Args:
        project: the project's name.
        stack: the stack's name.
        config: full key to value in text, as `pulumi config --json` has them.
        secret_keys: those of them that are encrypted; a message about a fault does not quote these.
    """
    recorder = Recorder(lambda _type, _name: {"revision": ""})
    # As in a preview: what only a provider knows is unknown.
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
        # Without the marks of secrets: it goes to the host only, and is never printed.
        Declared(
            kind,
            one.request.name,
            # Who owns it, the plugin learns from the engine.
            {**plain(one.inputs), "managed_by": one.urn},
            rpc.UNKNOWN not in str(one.request.object),
        )
        for one in recorder.registered
        if (kind := one.request.type.removeprefix(HOST_TYPES)) != one.request.type
        and kind not in _LATER
        and _resource(kind) is not None
    ]


def provider_of(kind: str) -> HostProvider:
    """Return the provider of a host resource, which stands in the same module as the resource's class."""
    resource = _resource(kind)
    if resource is None:
        raise ValueError(f"{kind!r} is no host resource")
    provider: HostProvider = getattr(sys.modules[resource.__module__], f"{kind}Provider")()
    return provider


def _resource(kind: str) -> type[HostResource] | None:
    """Return the class of a host resource; None for a resource that is not on a host."""
    found = getattr(resources, kind, None) or getattr(components, kind, None)
    return found if isinstance(found, type) and issubclass(found, HostResource) else None


def plan_lines(resource: Declared, declared: Sequence[Declared] = ()) -> list[str]:
    """Ask the host what `up` would do to one resource, and return it in lines for people.

    Args:
        resource: the one to ask for.
        declared: all of the program's: some of them come first, and mend what the host would refuse now.

    Raises:
        ConnectionFailed: the host does not answer, for this resource and every other.
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
    """Whether `up` settles what the host would refuse now, by what it applies before this resource."""
    before = [one for one in declared if one.props["host"] == resource.props["host"] and one is not resource]
    if found["refusal"]["code"] == _SSH_RULE:
        return any(one.kind == "SshServer" for one in before)
    # The host lets go of root's keys once declared users have them all.
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
    """Say what the verb takes."""
    command.add_stack(parser)


def run(options: argparse.Namespace) -> int:
    """Print a line for each host resource."""
    stack = command.stack_of(options.stack)
    config, secret_keys = command.texts(command.settings(stack))
    try:
        declared = declared_by_program(project_name(Path.cwd()), stack, config, secret_keys)
    except SystemExit:
        return 1  # the program has told why
    except (SettingsError, ArgumentsError, OSError) as error:
        raise command.Failed(f"the program refuses: {error}") from None
    except Exception as error:  # noqa: BLE001 - a fault of the program; its text may quote a secret setting
        told = f"{type(error).__name__} in {command.place_in_project(error)}"
        raise command.Failed(f"the program fails: {told}\n  -> `portcullis preview` shows more") from None
    return 1 if report(declared) else 0


def report(declared: Sequence[Declared]) -> int:
    """Print what `up` would do to each resource, and return how many it would be refused.

    That a host does not answer is told once; the session to it fails once for all.
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
        print(f"! {host}: nothing is known of {count} of its resources")  # noqa: T201
    return refused
