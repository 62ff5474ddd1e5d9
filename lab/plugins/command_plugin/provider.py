"""The command provider.

The stand-in behaves like version 1.2.1 of the command plugin. A refresh returns the stored state.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from lab.plugins.command_plugin import schema
from lab.plugins.command_plugin.run import Outcome, end_all, quoted, run
from lab.plugins.diff import Difference
from lab.plugins.errors import NotCoveredError, PluginError
from lab.plugins.fields import Checker, Problem, text
from lab.plugins.plugin import Answer, Found
from lab.plugins.values import UNKNOWN, Properties, is_secret, reveal, secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.plugins.plugin import Log, Plugin, Target

_LOCAL = "command:local:Command"
_FRAMEWORK = "__pulumi-go-provider-version"
_PROVIDER = {"version": text(), "pluginDownloadURL": text(), _FRAMEWORK: text()}
_SHOWN = {"stdout": ("stdout",), "stderr": ("stderr",), "stdoutAndStderr": ("stdout", "stderr"), "none": ()}


class CommandPlugin:
    """The command provider. `Plugin` describes its methods."""

    package = "command"
    version = "1.2.1"
    no_handshake = ""
    no_diff_config = "DiffConfig is not implemented"
    handshake = {  # noqa: RUF012 - never changed
        "accept_secrets": True,
        "accept_resources": True,
        "accept_outputs": True,
        "accepts_byte_string": True,
    }
    configured = {  # noqa: RUF012
        "acceptSecrets": True,
        "supportsPreview": True,
        "acceptResources": True,
        "acceptOutputs": True,
    }

    def __init__(self, log: Log) -> None:
        """Store the function that shows the output of commands."""
        self._log = log

    def check_config(self, news: Properties) -> tuple[Properties, list[Problem]]:
        """Check the settings of the provider, and add the version of Pulumi's provider framework to them."""
        inputs, problems = Checker(self.package, marks_defaults=False).check(_PROVIDER, news)
        return inputs | {_FRAMEWORK: "v1.5.0"}, problems

    def configure(self, args: Properties) -> None:
        """Do nothing, because the provider has no settings."""

    def check(self, target: Target, olds: Properties, news: Properties) -> tuple[Properties, list[Problem]]:
        """Return the checked inputs. Secret inputs stay secret."""
        del olds
        self._refuse_others(target)
        marked = {key for key, value in news.items() if is_secret(value)}
        plain = {key: value["value"] if key in marked else value for key, value in news.items()}
        inputs, problems = Checker(self.package, marks_defaults=False).check(schema.LOCAL, plain)
        if inputs.get("logging", "none") not in _SHOWN:
            problems.append(("logging", f"must be one of {', '.join(_SHOWN)}"))
        return {key: secret(value) if key in marked else value for key, value in inputs.items()}, problems

    def diff(self, target: Target, olds: Properties, news: Properties) -> Answer:
        """Return the changed inputs of a command. If an input has changed, `update` runs.

        The SDK itself declares that changed triggers replace the command.
        """
        self._refuse_others(target)
        found: list[Difference] = []
        for key, known in sorted(schema.LOCAL.items()):
            if not known.output:
                found += _compare(reveal(olds.get(key)), reveal(news.get(key)), key)
        return Answer(found)

    def create(self, target: Target, inputs: Properties, *, preview: bool) -> tuple[str, Properties]:
        """Run the command `create`."""
        self._refuse_others(target)
        if preview:
            return "", inputs | {"stdout": UNKNOWN, "stderr": UNKNOWN}
        outputs = self._run(target, inputs, "create", {})
        return f"{target.name}{secrets.token_hex(4)}", inputs | outputs

    def read(self, target: Target, state: Properties, inputs: Properties) -> Found | None:
        """Return the stored state."""
        self._refuse_others(target)
        return Found(target.id, state, inputs)

    def update(self, target: Target, olds: Properties, news: Properties, *, preview: bool) -> Properties:
        """Run the command `update`, or `create` if `update` is not set."""
        self._refuse_others(target)
        if preview:
            return news | {"stdout": UNKNOWN, "stderr": UNKNOWN}
        return news | self._run(target, news, "update" if news.get("update") else "create", olds)

    def delete(self, target: Target, state: Properties) -> None:
        """Run the command `delete`, if it is set."""
        self._refuse_others(target)
        if state.get("delete"):
            self._run(target, state, "delete", state)

    def close(self) -> None:
        """End all running commands."""
        end_all()

    def _refuse_others(self, target: Target) -> None:
        if target.type != _LOCAL:
            raise NotCoveredError(
                self.package,
                f"the lab's stand-in does not support resources of type {target.type} ({target.name})",
            )

    def _run(self, target: Target, given: Properties, which: str, before: Properties) -> Properties:
        inputs = reveal(given)
        command = inputs.get(which)
        if not command:
            return {"stdout": "", "stderr": ""}
        environment = dict(inputs.get("environment") or {})
        if inputs.get("addPreviousOutputInEnv", True):
            for name in ("stdout", "stderr"):
                if previous := reveal(before.get(name)):
                    environment[f"PULUMI_COMMAND_{name.upper()}"] = previous
        show = self._show(target, inputs.get("logging", "stdoutAndStderr"))
        stdin = inputs.get("stdin") or ""
        outcome = _run_local(inputs, command, stdin, environment, show)
        return {"stdout": outcome.stdout.removesuffix("\n"), "stderr": outcome.stderr.removesuffix("\n")}

    def _show(self, target: Target, logging: str) -> Callable[[str, str], None]:
        def show(stream: str, line: str) -> None:
            if stream in _SHOWN[logging]:
                self._log(line, target.urn)

        return show


def _run_local(
    inputs: Properties,
    command: str,
    stdin: str,
    environment: dict[str, str],
    show: Callable[[str, str], None],
) -> Outcome:
    argv = [*(inputs.get("interpreter") or ["/bin/sh", "-c"]), command]
    try:
        outcome = run(argv, stdin=stdin, show=show, environment=environment, folder=inputs.get("dir"))
    except OSError as error:
        message = f"{error}: running {quoted(command)}:\n"
        raise PluginError(message) from None
    if outcome.status:
        how = f"exit status {outcome.status}" if outcome.status > 0 else f"signal: {-outcome.status}"
        message = f"{how}: running {quoted(command)}:\n{outcome.both}"
        raise PluginError(message)
    return outcome


def _compare(old: Any, new: Any, path: str) -> Iterator[Difference]:
    """Yield the differences down to single values, like Pulumi's Go provider framework."""
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from _compare(old.get(key), new.get(key), f"{path}.{key}")
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            before = old[index] if index < len(old) else None
            after = new[index] if index < len(new) else None
            yield from _compare(before, after, f"{path}[{index}]")
    else:
        change = "ADD" if old is None else "DELETE" if new is None else "UPDATE"
        yield Difference(path, change, replaces=False)  # type: ignore[arg-type]


def plugin(log: Log) -> Plugin:
    """Return the stand-in for the command plugin. The stand-in shows messages to the user with `log`."""
    return CommandPlugin(log)
