"""The host as a story: settings, connections, then each host with its engine, apps and sites."""

from __future__ import annotations

import os
import signal
import sys

import pulumi

from components import HardenedHost, HardenedHostArgs, connections
from portcullis.host import write_ssh_config
from portcullis.settings import SettingsError, stack_settings

# Exit code 32 tells Pulumi's language host that people have been told already: nothing is printed on top.
_TOLD = 32


def main() -> None:
    """Declare the stack."""
    settings = stack_settings()
    write_ssh_config(connections(settings))
    for alias, host in settings.hosts.items():
        HardenedHost(
            alias,
            HardenedHostArgs(
                host=host,
                apps=settings.apps_on(alias),
                sites=settings.sites_on(alias),
                secret="apps" in settings.secret,
            ),
        )
    pulumi.export("sites", [f"http://{name}" for name in sorted(settings.sites)])


# Ctrl-C reaches every process of the terminal. The engine reports it; a traceback from here would hide that.
signal.signal(signal.SIGINT, lambda *_: os._exit(_TOLD))

try:
    main()
except (SettingsError, OSError, ValueError) as error:
    # What the settings let pass and the arguments of a component do not is a ValueError, told the same way.
    if isinstance(error, ValueError) and os.environ.get("PORTCULLIS_DEBUG"):
        raise
    # Not pulumi.RunError: the language host would add "an unhandled error occurred" to it.
    pulumi.log.error(str(error))
    sys.exit(_TOLD)
