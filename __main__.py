"""The host as a story: settings, connections, then each host with its engine, stores, apps and sites."""

from __future__ import annotations

import os
import signal
import sys

import pulumi

from portcullis.components import (
    HardenedHost,
    HardenedHostArgs,
    OutsideProbe,
    OutsideProbeArgs,
    PreviewKey,
    PreviewLogin,
    addresses,
    changes_of,
    connections,
    export_tunnels,
)
from portcullis.components.host.declared import declared, write_declared
from portcullis.host import write_ssh_config
from portcullis.registry import resolve
from portcullis.settings import SettingsError, stack_settings

# Exit code 32 tells Pulumi's language host that people have been told already: nothing is printed on top.
_TOLD = 32


def main() -> None:
    """Declare the stack."""
    settings = stack_settings()
    # A tag is what its registry says today: the preview shows it, the state keeps the digest.
    settings = settings.with_images(resolve(settings.named_images(), settings.registries))
    write_ssh_config(connections(settings, PreviewLogin.from_environment(os.environ)))
    told = {alias: declared(settings, alias) for alias in settings.hosts}
    write_declared(list(told.values()), pulumi.get_stack())
    preview = PreviewKey("preview") if any(host.preview for host in settings.hosts.values()) else None
    hosts = [
        HardenedHost(
            alias,
            HardenedHostArgs(
                host=host,
                stores=settings.stores_on(alias),
                backups=settings.backups if settings.backups.enabled else None,
                apps=settings.apps_on(alias),
                secrets=settings.secrets,
                registries=settings.registries,
                acme=settings.acme,
                sites=settings.sites_on(alias),
                tunnels=settings.tunnels_on(alias),
                preview_key=preview.public_key if preview else None,
                secret="apps" in settings.secret,
            ),
        )
        for alias, host in settings.hosts.items()
    ]
    for alias, host in zip(settings.hosts, hosts, strict=True):
        if settings.hosts[alias].probe:
            # Last of all: what was declared is what answers.
            OutsideProbe(f"{alias}-outside", OutsideProbeArgs(told[alias], changes_of(host), after=[host]))
        backup = host.stores.backup if host.stores else None
        if backup is not None and backup.restic_password is not None:
            # Without it nobody can read the copies: keep it outside of the host and of this state.
            pulumi.export(f"resticPassword-{alias}", backup.restic_password)
    for alias, settled in settings.hosts.items():
        if preview and settled.preview:
            # For the CI's store of secrets, the same for all hosts (docs/previews.md).
            pulumi.export(f"previewKey-{alias}", preview.private_key)
    export_tunnels(tunnel for host in hosts for tunnel in host.tunnels)
    pulumi.export("sites", addresses(settings.sites))
    for alias, host in zip(settings.hosts, hosts, strict=True):
        if host.proxy and host.proxy.ca_pem is not None:
            # Who is to trust sites with `tls: internal` installs this.
            pulumi.export(f"sitesCa-{alias}", host.proxy.ca_pem)


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
