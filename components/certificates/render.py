"""certbot: authorities, names of lineages, plugins for DNS, and our files around it.

A lineage is certbot's word for a certificate with all its renewals. The resource `Certificate` runs certbot,
and the system's own timer renews. The facts about plugins come from Debian's packages and from
https://eff-certbot.readthedocs.io/en/stable/using.html#dns-plugins.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from portcullis.components.certificates.facts import CA_VARIABLE, CREDENTIALS_VARIABLES
from portcullis.rendering import header, word

if TYPE_CHECKING:
    from collections.abc import Mapping

PRODUCTION = "https://acme-v02.api.letsencrypt.org/directory"
STAGING = "https://acme-staging-v02.api.letsencrypt.org/directory"

ACME_ROOT = "/var/www/portcullis-acme"
"""The folder that nginx shows an authority on port 80. No site has a folder of that name: it has no dot."""
HOOK_PATH = "/etc/letsencrypt/renewal-hooks/deploy/10-portcullis-nginx"
# In a folder of the package. certbot does not read these two files by itself.
CA_BUNDLE_PATH = "/etc/letsencrypt/portcullis-ca.pem"
CREDENTIALS_PATH = "/etc/letsencrypt/portcullis-dns-credentials"
DROP_IN_PATH = "/etc/systemd/system/certbot.service.d/50-portcullis.conf"


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin of certbot that proves names by DNS records.

    Attributes:
        package: Debian's package.
        form: the smallest credentials file that works.
        variables: the environment variables that hold the path of that file. Without any, the option
            ``--dns-NAME-credentials`` does.
        waits: the plugin has the option ``--dns-NAME-propagation-seconds``. One without it asks its provider
            when the record is visible.
    """

    package: str
    form: str
    variables: tuple[str, ...] = ()
    waits: bool = True


def _ini(name: str, *keys: str) -> str:
    return "".join(f"dns_{name}_{key} = …\n" for key in keys)


def _plugin(name: str, form: str, variables: tuple[str, ...] = (), *, waits: bool = True) -> Plugin:
    return Plugin(f"python3-certbot-dns-{name}", form, variables, waits)


PLUGINS: Mapping[str, Plugin] = {
    "cloudflare": _plugin("cloudflare", _ini("cloudflare", "api_token")),
    "digitalocean": _plugin("digitalocean", _ini("digitalocean", "token")),
    "dnsimple": _plugin("dnsimple", _ini("dnsimple", "token")),
    "gandi": _plugin("gandi", _ini("gandi", "token")),  # api_key in Debian 12
    "gehirn": _plugin("gehirn", _ini("gehirn", "api_token", "api_secret")),
    "google": _plugin("google", '{"type": "service_account", …}\n'),  # the JSON file that Google gives
    "linode": _plugin("linode", _ini("linode", "key")),
    "ovh": _plugin("ovh", _ini("ovh", "endpoint", "application_key", "application_secret", "consumer_key")),
    "rfc2136": _plugin("rfc2136", _ini("rfc2136", "server", "name", "secret", "algorithm")),
    "route53": _plugin(
        "route53",
        "[default]\naws_access_key_id = …\naws_secret_access_key = …\n",
        CREDENTIALS_VARIABLES["route53"],
        waits=False,
    ),
    "sakuracloud": _plugin("sakuracloud", _ini("sakuracloud", "api_token", "api_secret")),
}
"""Plugins by certbot's name for them. The authenticator is ``dns-NAME``."""


def lineage(site: str, server: str) -> str:
    """Return the name of a site's lineage at an authority.

    Each authority has a lineage of its own, for two reasons. certbot keeps a lineage's authority when it is
    asked again. A site that changes its authority keeps the old lineage until the new one exists.

    Args:
        site: host name of the site, or a wildcard.
        server: URL of the authority's directory.
    """
    name = site.removeprefix("*.")
    if server == PRODUCTION:
        return name
    if server == STAGING:
        return f"{name}-staging"
    return f"{name}-{hashlib.sha256(server.encode()).hexdigest()[:8]}"


def environment(ca_bundle: str = "", plugin: str = "", credentials: str = CREDENTIALS_PATH) -> dict[str, str]:
    """Return the environment variables that certbot needs. All of them hold paths.

    Args:
        ca_bundle: path of the root certificate of the authority's own server, or "".
        plugin: name of the plugin for DNS, or "".
        credentials: path of the plugin's credentials file.
    """
    found = {CA_VARIABLE: ca_bundle} if ca_bundle else {}
    if plugin:
        found |= dict.fromkeys(PLUGINS[plugin].variables, credentials)
    return found


def drop_in(resource: str, variables: Mapping[str, str]) -> str:
    """Render the drop-in that gives the timer's service its environment.

    Raises:
        ValueError: a name or path cannot stand in a unit file.
    """
    lines = [f"Environment={word(name)}={word(path)}" for name, path in sorted(variables.items())]
    return "\n".join(
        [
            header(resource, "Variables for certbot when its timer renews. A deploy gives it the same ones."),
            "[Service]",
            "# Only paths, no secrets: every user can read the environment of a unit (systemctl show).",
            *lines,
            "",
        ]
    )


def hook(resource: str) -> str:
    """Render the hook that certbot runs after the renewal of any lineage."""
    return (
        "#!/bin/sh\n"
        + header(resource, "Reloads nginx after certbot has renewed a certificate.")
        + """\
#
# One hook serves all lineages, because certbot forgets a --deploy-hook as soon as a lineage is issued again
# without it. The hook runs after renewals. After a first certificate, the deploy of the site reloads nginx.

# The test comes first: nginx would refuse the reload, too, but tell nobody. If this script fails, certbot
# goes on, and the next preview shows that nginx still serves the old certificate.
nginx -t -q && systemctl reload nginx.service
"""
    )
