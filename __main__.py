"""The Pulumi program: reads the settings, writes ssh_config, then declares each host with all its parts."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
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

# Pulumi's language host prints no error of its own after exit code 32: this program has reported the error.
_REPORTED = 32


def main() -> None:
    """Declare the stack."""
    # Replace tags by the digests that registries give today. A moved tag then shows in the preview.
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
            # The last step: scan the host from outside, where only declared ports may answer.
            OutsideProbe(
                f"{alias}-outside",
                declared=declared(alias, args[alias]),
                triggers=changes_of(host),
                opts=pulumi.ResourceOptions(depends_on=[host]),
            )
        backup = host.stores.backup if host.stores else None
        if backup is not None and backup.restic_password is not None:
            # Nobody can read the copies without this password. Keep it outside of the host and the state.
            pulumi.export(f"resticPassword-{alias}", backup.restic_password)
    for alias, here in args.items():
        if preview and here.preview:
            # For the secrets of your CI. The key is the same for all hosts (docs/previews.md).
            pulumi.export(f"previewKey-{alias}", preview.private_key)
    export_tunnels(tunnel for host in hosts.values() for tunnel in host.tunnels)
    pulumi.export("sites", addresses(settings.sites))
    for alias, host in hosts.items():
        if host.proxy and host.proxy.ca_pem is not None:
            # Clients must install this certificate to trust sites with `tls: internal`.
            pulumi.export(f"sitesCa-{alias}", host.proxy.ca_pem)


# Ctrl-C reaches every process of the terminal. The engine reports it. A traceback from here would hide that.
signal.signal(signal.SIGINT, lambda *_: os._exit(_REPORTED))
# A core dump would hold the secrets of the settings.
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
# Imported modules stay until the end, so the garbage collector need not visit their objects again.
gc.freeze()
if not os.environ.get("PORTCULLIS_DEBUG"):
    # The SDK sends four debug messages for each resource, and waits for the engine after each of them.
    pulumi.log.debug = lambda *_, **__: None


async def program() -> None:
    """Declare the stack, or report the faults that prevent it."""
    try:
        main()
    except (SettingsError, OSError, ValueError) as error:
        # Components raise a ValueError for wrong values that the checks of the settings did not find.
        if isinstance(error, ValueError) and os.environ.get("PORTCULLIS_DEBUG"):
            raise
        # We do not use pulumi.RunError, because the language host would add "an unhandled error occurred".
        pulumi.log.error(str(error))
        sys.exit(_REPORTED)
    # Let the registrations begin now, so that the SDK waits for them one by one. Otherwise, the SDK searches
    # all outputs again whenever an output becomes known. That search took a third of this program's time.
    await asyncio.sleep(0)


pulumi.run(program)
