"""command:remote:Command: an OpenSSH client for each command, where officially it is a connection for each.

What ssh needs is written into a folder of its own that only we can read: keys are never in an argument.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lab.plugins.command_plugin.run import Outcome, quoted, run
from lab.plugins.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.plugins.values import Properties

_SSH_FAILED = 255
_RETRY_SECONDS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)
_NO_CONNECTION = re.compile(
    r"^(ssh: |.*(Host key verification failed|Permission denied|Connection (closed|reset|refused)))",
    re.MULTILINE,
)


def run_remote(
    connection: Properties,
    command: str,
    *,
    stdin: str,
    environment: dict[str, str],
    show: Callable[[str, str], None],
) -> Outcome:
    """Run it on the host, dialling again when nothing answers.

    Raises:
        PluginError: the host cannot be reached, or the command fails.
    """
    with tempfile.TemporaryDirectory(prefix="portcullis-ssh-") as name:
        config = _write(Path(name), connection, environment)
        argv = ["ssh", "-F", str(config), "target", "--", command]
        limit = connection.get("dialErrorLimit", 10)
        tries = 0
        while True:
            outcome = run(argv, stdin=stdin, show=show)
            lost = (
                outcome.status == _SSH_FAILED and not outcome.stdout and _NO_CONNECTION.search(outcome.stderr)
            )
            if not lost:
                break
            tries += 1
            if (
                0 <= limit < tries
                or "Permission denied" in outcome.stderr
                or "verification failed" in outcome.stderr
            ):
                message = f"after {tries} failed attempts: {connection['host']}: {outcome.stderr.strip()}"
                raise PluginError(message)
            time.sleep(_RETRY_SECONDS[min(tries, len(_RETRY_SECONDS)) - 1])
    if outcome.status:
        how = f"Process exited with status {outcome.status}"
        if outcome.status < 0:
            how = f"ssh ended by signal {-outcome.status}"
        message = f"{how}: running {quoted(command)}:\n{outcome.both}"
        raise PluginError(message)
    return outcome


def _write(folder: Path, connection: Properties, environment: dict[str, str]) -> Path:
    """The client's configuration."""
    lines = [
        "Host target",
        f"HostName {connection['host']}",
        f"User {connection.get('user', 'root')}",
        f"Port {connection.get('port', 22)}",
        "BatchMode yes",
        "LogLevel ERROR",
        "RequestTTY no",
        f"ConnectTimeout {connection.get('perDialTimeout', 15) or 0}",
    ]
    if host_key := connection.get("hostKey"):
        known = folder / "known_hosts"
        known.write_text(f"target {host_key.strip()}\n", encoding="utf-8")
        lines += [
            "HostKeyAlias target",
            f"UserKnownHostsFile {known}",
            "GlobalKnownHostsFile /dev/null",
            "StrictHostKeyChecking yes",
        ]
    else:  # the official plugin then trusts any host
        lines += [
            "UserKnownHostsFile /dev/null",
            "GlobalKnownHostsFile /dev/null",
            "StrictHostKeyChecking no",
        ]
    if private_key := connection.get("privateKey"):
        key = folder / "key"
        with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123
            file.write(private_key if private_key.endswith("\n") else private_key + "\n")
        lines += [f"IdentityFile {key}", "IdentitiesOnly yes"]
    if agent := connection.get("agentSocketPath"):
        lines.append(f"IdentityAgent {agent}")
    for name, value in environment.items():
        if '"' in value or "\n" in value or "\\" in value:
            message = (
                f"environment {name}: quotes, backslashes and line ends cannot be passed by the stand-in"
            )
            raise PluginError(message)
        lines.append(f'SetEnv "{name}={value}"')
    config = folder / "config"
    with open(os.open(config, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write("\n".join(lines) + "\n")
    return config
