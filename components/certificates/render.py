"""Renders what certbot needs on a host: the names of lineages, DNS plugins, a drop-in and the hook for nginx.

A lineage is certbot's word for a certificate with all its renewals. The resource `Certificate` runs certbot.
The timer of Debian's package renews certificates. The facts about plugins come from Debian's packages and
from https://eff-certbot.readthedocs.io/en/stable/using.html#dns-plugins.
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
"""The folder from which nginx answers an authority on port 80. No site's folder has this name, because the
name of a site has a dot."""
HOOK_PATH = "/etc/letsencrypt/renewal-hooks/deploy/10-portcullis-nginx"
# Both files are in certbot's own folder, but certbot does not read them by itself.
CA_BUNDLE_PATH = "/etc/letsencrypt/portcullis-ca.pem"
CREDENTIALS_PATH = "/etc/letsencrypt/portcullis-dns-credentials"
DROP_IN_PATH = "/etc/systemd/system/certbot.service.d/50-portcullis.conf"


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin of certbot for the DNS challenge.

    Attributes:
        package: the name of the Debian package.
        form: the smallest credentials file that works.
        variables: the environment variables with the path of the credentials file. If there are none, the
            option ``--dns-NAME-credentials`` has the path.
        waits: whether the plugin has the option ``--dns-NAME-propagation-seconds``. A plugin without this
            option asks its provider whether the record is visible.
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
    "gandi": _plugin("gandi", _ini("gandi", "token")),  # the key is api_key in Debian 12
    "gehirn": _plugin("gehirn", _ini("gehirn", "api_token", "api_secret")),
    "google": _plugin("google", '{"type": "service_account", …}\n'),  # the JSON file that Google issues
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
"""certbot's DNS plugins, by their names. certbot calls the authenticator of a plugin ``dns-NAME``."""


def lineage(site: str, server: str) -> str:
    """Return the name of a site's lineage at an authority.

    Each authority has a lineage of its own, for two reasons. First, certbot renews an existing lineage at the
    lineage's old authority. Second, a site that changes its authority keeps the old lineage until the new
    lineage exists.

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
    """Return the environment variables that certbot needs. All their values are paths.

    Args:
        ca_bundle: path of the root certificate for the authority's server; "" if the host already trusts that
            server.
        plugin: name of the plugin for the DNS challenge; "" if only the HTTP challenge is used.
        credentials: path of the plugin's credentials file.
    """
    found = {CA_VARIABLE: ca_bundle} if ca_bundle else {}
    if plugin:
        found |= dict.fromkeys(PLUGINS[plugin].variables, credentials)
    return found


def drop_in(resource: str, variables: Mapping[str, str]) -> str:
    """Render the drop-in that gives the timer's service its environment.

    Raises:
        ValueError: a name or path has characters that a unit file cannot contain.
    """
    lines = [f"Environment={word(name)}={word(path)}" for name, path in sorted(variables.items())]
    return "\n".join(
        [
            header(
                resource,
                "This file gives environment variables to certbot when its timer renews certificates.\n"
                "# `pulumi up` starts certbot with the same variables.",
            ),
            "[Service]",
            "# The values are paths, not secrets: every user can read a unit's environment (systemctl show).",
            *lines,
            "",
        ]
    )


def hook(resource: str) -> str:
    """Render the hook that certbot runs after the renewal of any lineage."""
    return (
        "#!/bin/sh\n"
        + header(resource, "This script reloads nginx after certbot has renewed a certificate.")
        + """\
#
# certbot runs this hook after the renewal of any certificate. certbot can also store a hook for one
# certificate (--deploy-hook), but forgets this hook when it issues the certificate again without the option.
# When a site gets its first certificate, `pulumi up` reloads nginx.

# `nginx -t` checks the configuration first, because `systemctl reload` does not report a configuration that
# nginx refuses. If this script fails, certbot continues, and the next preview shows that nginx still serves
# the old certificate.
nginx -t -q && systemctl reload nginx.service
"""
    )
