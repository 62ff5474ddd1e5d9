"""certbot with a certificate for each site.

The timer of the system's certbot package renews the certificates.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pulumi
from pulumi import ResourceOptions

from portcullis.components.certificates import render as certbot
from portcullis.components.certificates.checks import authority
from portcullis.components.certificates.resource import Certificate
from portcullis.config.arguments import refuse_faults
from portcullis.config.faults import SettingPath, Source, in_python
from portcullis.config.secret import Secret
from portcullis.config.section import Written
from portcullis.resources import Directory, File, Packages, Service

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from portcullis.components.certificates.args import AcmeArgs
    from portcullis.config.forms import SecretInput
    from portcullis.host import Host


@dataclass(frozen=True, slots=True)
class _Declared:
    """The secrets of a `Certbot`, in the form that the checks of its arguments need."""

    secrets: Mapping[str, Any]
    whole = "component"

    def how_to_add(self, secret: str) -> str:
        """Return the hint that says how to declare a secret."""
        return f"add {secret} to its secrets"


class Certbot(pulumi.ComponentResource):
    """certbot with its timer, and a hook that reloads nginx after a renewal.

    The method `certificate` declares one certificate. To check a name, the certificate
    authority sends a request to port 80 of the host, so a web server must already use that port. Add this
    server to the component's `depends_on`.

    `ReverseProxy` declares certbot and certificates for its own sites.

    Example:
        ```python
        import pulumi

        from portcullis.components import AcmeArgs, Certbot
        from portcullis.host import Connection, Host, write_ssh_config

        key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq"
        write_ssh_config({"web1": Connection(address="203.0.113.10", host_key=key)})
        certbot = Certbot(
            "web1-certbot",
            AcmeArgs(email="ops@example.com"),
            host=Host("web1"),
            # The folder from which the existing nginx serves files.
            webroot="/var/www/html",
        )
        made = certbot.certificate("www.example.com", ["www.example.com", "example.com"])
        pulumi.export("chain", made.fullchain)
        ```
    """

    def __init__(
        self,
        name: str,
        args: AcmeArgs,
        *,
        host: Host,
        webroot: str = certbot.ACME_ROOT,
        secrets: Mapping[str, SecretInput] | None = None,
        opts: ResourceOptions | None = None,
    ) -> None:
        """Declare certbot, its timer and the hook for nginx.

        Args:
            name: the component's name, such as "web1-certbot".
            args: the certificate authority, and the account with it.
            host: the host.
            webroot: the folder from which nginx answers the authority on port 80.
            secrets: the values of secrets, by name. `args.dns` names the secret with the DNS provider's
                credentials.
            opts: options of the component. Add the server that answers on port 80 to its `depends_on`.

        Raises:
            ArgumentsError: the authority's root certificate cannot be read, or a secret is missing.
        """
        secrets = secrets or {}
        at = SettingPath(Source("AcmeArgs", in_python))
        authority(Written(args, at), _Declared(secrets))
        refuse_faults(at)
        super().__init__("portcullis:index:Certbot", name, None, opts)
        self._name, self._args, self._host, self._webroot = name, args, host, webroot
        dns, plugin = args.dns, certbot.PLUGINS[args.dns.provider] if args.dns else None
        self._packages = Packages(
            f"{name}-packages",
            host=host,
            names=["certbot", *([plugin.package] if plugin else [])],
            # A purge would also delete undeclared lineages.
            on_delete="remove",
            opts=ResourceOptions(parent=self),
        )
        hooks = self._directory("hooks", certbot.HOOK_PATH.rpartition("/")[0])
        hook = self._file("hook", certbot.HOOK_PATH, certbot.hook(f"{name}-hook"), hooks, mode="0755")
        files = [hook]
        if args.ca_bundle:
            root = Path(args.ca_bundle).expanduser().read_text("ascii")
            files.append(self._file("ca", certbot.CA_BUNDLE_PATH, root, self._packages))
        if dns:
            secret = Secret.of(secrets[dns.credentials]).output
            path = certbot.CREDENTIALS_PATH
            files.append(self._file("credentials", path, secret, self._packages, mode="0600"))
        environment = certbot.environment(
            certbot.CA_BUNDLE_PATH if args.ca_bundle else "", dns.provider if dns else ""
        )
        # Write the file even if it sets no variable: systemd would not notice a removed file.
        folder = self._directory("unit", certbot.DROP_IN_PATH.rpartition("/")[0])
        text = certbot.drop_in(f"{name}-environment", environment)
        files.append(
            self._file("environment", certbot.DROP_IN_PATH, text, folder, test=["systemctl", "daemon-reload"])
        )
        timer = Service(
            f"{name}-timer",
            host=host,
            unit="certbot.timer",
            reads=[self._packages],
            on_change="restart",
            opts=ResourceOptions(parent=self, depends_on=[self._packages, *files]),
        )
        self._ready = [*files, timer]
        self.register_outputs({"server": args.directory})

    def certificate(
        self,
        site: str,
        names: Sequence[str],
        *,
        challenge: Literal["http", "dns"] = "http",
        name: str = "",
    ) -> Certificate:
        """Declare the certificate of a site.

        Args:
            site: the site's host name.
            names: every name that the certificate is for, the site's first.
            challenge: "http" or "dns".
            name: the resource's name; by default it is made of the component's name and the site.

        Raises:
            ValueError: the challenge is "dns", and the component has no DNS provider.
        """
        acme = self._args
        if challenge == "dns" and acme.dns is None:
            raise ValueError(
                f"Certbot.certificate {site}: set AcmeArgs.dns, because the challenge `dns` needs a DNS "
                "provider"
            )
        return Certificate(
            name or f"{self._name}-{site}",
            host=self._host,
            lineage=certbot.lineage(site, acme.directory),
            domains=names,
            email=acme.email or "",
            server=acme.directory,
            ca_bundle=certbot.CA_BUNDLE_PATH if acme.ca_bundle else "",
            webroot=self._webroot,
            dns=acme.dns.provider if acme.dns and challenge == "dns" else "",
            dns_credentials=certbot.CREDENTIALS_PATH if challenge == "dns" else "",
            dns_propagation=acme.dns.propagation if acme.dns and challenge == "dns" else 0,
            profile=acme.profile,
            precheck=acme.precheck,
            unit="nginx.service",
            opts=ResourceOptions(parent=self, depends_on=self._ready),
        )

    def _directory(self, part: str, path: str) -> Directory:
        return Directory(
            f"{self._name}-{part}-folder",
            host=self._host,
            path=path,
            make_parents=True,
            opts=ResourceOptions(parent=self, depends_on=[self._packages]),
        )

    def _file(
        self,
        part: str,
        path: str,
        content: pulumi.Input[str],
        after: pulumi.Resource,
        *,
        mode: str = "0644",
        test: list[str] | None = None,
    ) -> File:
        return File(
            f"{self._name}-{part}",
            host=self._host,
            path=path,
            content=content,
            mode=mode,
            test=test,
            opts=ResourceOptions(parent=self, depends_on=[after]),
        )
