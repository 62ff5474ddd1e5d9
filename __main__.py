"""The host as a story: settings, connections, then each host with its engine, stores, apps and sites."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys

import pulumi

from portcullis.components import (
    HardenedHost,
    OutsideProbe,
    PreviewKey,
    PreviewLogin,
    addresses,
    changes_of,
    connections,
    export_tunnels,
)
from portcullis.components.host.declared import declared
from portcullis.components.host.images import resolved
from portcullis.components.host.stack import stack_settings
from portcullis.config.faults import SettingsError
from portcullis.host import write_ssh_config

# Exit code 32 tells Pulumi's language host that people have been told already: nothing is printed on top.
_TOLD = 32


def main() -> None:
    """Declare the stack."""
    # A tag is what its registry says today: the preview shows it, the state keeps the digest.
    settings = resolved(stack_settings(), "portcullis:")
    write_ssh_config(connections(settings.hosts, PreviewLogin.from_environment(os.environ)))
    args = {alias: settings.host_args(alias) for alias in settings.hosts}
    preview = PreviewKey("preview") if any(here.preview for here in args.values()) else None
    hosts = {
        alias: HardenedHost(
            alias,
            here,
            preview_key=preview.public_key if preview else None,
            secret_apps="apps" in settings.secret,
        )
        for alias, here in args.items()
    }
    for alias, host in hosts.items():
        if args[alias].probe:
            # Last of all: what was declared is what answers.
            OutsideProbe(
                f"{alias}-outside",
                declared=declared(alias, args[alias]),
                triggers=changes_of(host),
                opts=pulumi.ResourceOptions(depends_on=[host]),
            )
        backup = host.stores.backup if host.stores else None
        if backup is not None and backup.restic_password is not None:
            # Without it nobody can read the copies: keep it outside of the host and of this state.
            pulumi.export(f"resticPassword-{alias}", backup.restic_password)
    for alias, here in args.items():
        if preview and here.preview:
            # For the CI's store of secrets, the same for all hosts (docs/previews.md).
            pulumi.export(f"previewKey-{alias}", preview.private_key)
    export_tunnels(tunnel for host in hosts.values() for tunnel in host.tunnels)
    pulumi.export("sites", addresses(settings.sites))
    for alias, host in hosts.items():
        if host.proxy and host.proxy.ca_pem is not None:
            # Who is to trust sites with `tls: internal` installs this.
            pulumi.export(f"sitesCa-{alias}", host.proxy.ca_pem)


# Ctrl-C reaches every process of the terminal. The engine reports it; a traceback from here would hide that.
signal.signal(signal.SIGINT, lambda *_: os._exit(_TOLD))
# What was imported stays to the end, so the garbage collector need not go through it time and again.
gc.freeze()
if not os.environ.get("PORTCULLIS_DEBUG"):
    # The SDK sends four for each resource, and waits each time until the engine has taken it.
    pulumi.log.debug = lambda *_, **__: None


async def program() -> None:
    """Declare the stack, or say why not."""
    try:
        main()
    except (SettingsError, OSError, ValueError) as error:
        # A ValueError is what the settings let pass and a component refuses.
        if isinstance(error, ValueError) and os.environ.get("PORTCULLIS_DEBUG"):
            raise
        # Not pulumi.RunError: the language host would add "an unhandled error occurred" to it.
        pulumi.log.error(str(error))
        sys.exit(_TOLD)
    # Let the registrations begin: the SDK then waits for them one by one. Otherwise it looks through all
    # outputs each time that one is known. That took a third of this program's time.
    await asyncio.sleep(0)


pulumi.run(program)
