"""certbot: authorities, names of lineages, plugins for DNS, and the files around it that are ours.

certbot itself is run by the resource `Certificate`; its timer is the system's own. Facts of plugins are those
of Debian's packages and of https://eff-certbot.readthedocs.io/en/stable/using.html#dns-plugins.
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
"""The folder that an authority is shown on port 80. No site's folder has that name: it has no dot."""
HOOK_PATH = "/etc/letsencrypt/renewal-hooks/deploy/10-portcullis-nginx"
# In the folder that the package brings. certbot reads neither by itself.
CA_BUNDLE_PATH = "/etc/letsencrypt/portcullis-ca.pem"
CREDENTIALS_PATH = "/etc/letsencrypt/portcullis-dns-credentials"
DROP_IN_PATH = "/etc/systemd/system/certbot.service.d/50-portcullis.conf"


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin of certbot that proves names by DNS records.

    Attributes:
        package: Debian's package.
        form: the smallest credentials file that works.
        variables: the environment variables that lead to that file; where there are none, the option
            ``--dns-NAME-credentials`` does.
        waits: it takes ``--dns-NAME-propagation-seconds``; one that does not knows when its provider is done.
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
"""By the name that certbot has for it: its authenticator is ``dns-NAME``."""


def lineage(site: str, server: str) -> str:
    """Return the name of a site's lineage at an authority.

    Each authority has its own: certbot keeps a lineage's authority when it is only asked again, and a site
    that moves to another lineage has the old one until the new one is there.

    Args:
        site: host name of the site; a wildcard may be one.
        server: URL of the authority's directory.
    """
    name = site.removeprefix("*.")
    if server == PRODUCTION:
        return name
    if server == STAGING:
        return f"{name}-staging"
    return f"{name}-{hashlib.sha256(server.encode()).hexdigest()[:8]}"


def environment(ca_bundle: str = "", plugin: str = "", credentials: str = CREDENTIALS_PATH) -> dict[str, str]:
    """Return the variables that certbot needs, paths all of them.

    Args:
        ca_bundle: path of the root that the authority's own server is trusted by, or "".
        plugin: name of the plugin for DNS, or "".
        credentials: path of its credentials file.
    """
    found = {CA_VARIABLE: ca_bundle} if ca_bundle else {}
    if plugin:
        found |= dict.fromkeys(PLUGINS[plugin].variables, credentials)
    return found


def drop_in(resource: str, variables: Mapping[str, str]) -> str:
    """Render what the timer's service gets into its environment.

    Raises:
        ValueError: a name or path that cannot stand in a unit file.
    """
    lines = [f"Environment={word(name)}={word(path)}" for name, path in sorted(variables.items())]
    return "\n".join(
        [
            header(resource, "What certbot needs when its timer renews; at a deployment it gets the same."),
            "[Service]",
            "# Paths and no secrets: every user can read the environment of a unit (systemctl show).",
            *lines,
            "",
        ]
    )


def hook(resource: str) -> str:
    """Render what certbot runs after it renewed any lineage."""
    return (
        "#!/bin/sh\n"
        + header(resource, "Has nginx take up renewed certificates.")
        + """\
#
# One hook for all lineages, because certbot forgets a --deploy-hook as soon as a lineage is issued anew
# without it. It runs after renewals; after a first certificate the site's own deployment reloads nginx.

# Tested first: nginx would refuse the reload too, but say so to nobody. certbot goes on when this fails, and
# what is served then shows as a difference in the next preview.
nginx -t -q && systemctl reload nginx.service
"""
    )
