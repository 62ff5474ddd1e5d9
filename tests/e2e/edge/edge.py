"""A program with one site and a certificate of the lab's authority, and helpers for its tests."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from portcullis.components.certificates import render as certbot
from tests.e2e.host.watch import wait_for

if TYPE_CHECKING:
    from lab.acme import AcmeServer
    from lab.pytest_lab import Host
    from tests.e2e.project import Project

NAME = "www.example.com"
_PROGRAM = """
from portcullis.components import Certificate, ServedSites, SiteProbe
from portcullis.components.certificates import render as certbot

def after(*things):
    return pulumi.ResourceOptions(depends_on=list(things))

def file(name, path, content, *things, **more):
    return File(name, host="web1", path=path, content=content, adopt=True, opts=after(*things), **more)

def folder(name, path):
    return Directory(name, host="web1", path=path, make_parents=True, opts=after(packages))

packages = Packages("packages", host="web1", names=["nginx", "certbot"])
webroot = folder("webroot", "/var/www/acme")
hooks = folder("hooks", certbot.HOOK_PATH.rpartition("/")[0])
unit = folder("unit", certbot.DROP_IN_PATH.rpartition("/")[0])
ca = file("ca", certbot.CA_BUNDLE_PATH, open("ca.pem").read(), packages)
drop_in = file("environment", certbot.DROP_IN_PATH,
               certbot.drop_in("environment", certbot.environment(certbot.CA_BUNDLE_PATH)), unit,
               test=["systemctl", "daemon-reload"])
hook = file("hook", certbot.HOOK_PATH, certbot.hook("hook"), hooks, mode="0755")
timer = Service("timer", host="web1", unit="certbot.timer", reads=[packages], on_change="restart",
                opts=after(drop_in, hook))
base = file("base", "/etc/nginx/sites-enabled/default", '''\\
server {
    listen 80 default_server;
    listen [::]:80 default_server;
    location ^~ /.well-known/acme-challenge/ { root /var/www/acme; }
    location / { return 444; }
}
server {
    listen 443 ssl default_server;
    listen [::]:443 ssl default_server;
    ssl_reject_handshake on;
}
''', webroot, test=["nginx", "-t"])
nginx = Service("nginx", host="web1", unit="nginx.service", reads=[base, packages])
"""
_SITE = """
certificate = Certificate(
    "certificate", host="web1", lineage=certbot.lineage("{name}", "{server}"), domains={names},
    server="{server}", email="ops@example.com", ca_bundle=certbot.CA_BUNDLE_PATH, precheck={precheck},
    opts=after(nginx, timer, ca),
)
site = file("site", "/etc/nginx/conf.d/site.conf", f'''\\
server {{{{
    listen 443 ssl;
    listen [::]:443 ssl;
    server_name {all_names};
    ssl_certificate {{certificate.fullchain}};
    ssl_certificate_key {{certificate.privkey}};
    return 200 "served";
}}}}
''', certificate, test=["nginx", "-t"])
ServedSites("served", host="web1", sites={{"{name}": SiteProbe(certificate=certificate.fullchain)}},
            reads=[site, base], opts=after(site))
pulumi.export("issuer", certificate.issuer)
"""


@dataclass
class Edge:
    """A site on a host, with the certificate authority that issues its certificate."""

    project: Project
    acme: AcmeServer
    names: list[str] = field(default_factory=lambda: [NAME])

    def __post_init__(self) -> None:
        (self.project.folder / "ca.pem").write_text(self.acme.bundle.read_text())

    @property
    def host(self) -> Host:
        return self.project.host

    def declare(self, *names: str, server: str = "", precheck: bool = True) -> Project:
        """Write a program with a certificate for `names`, from `server` or the authority of the test file."""
        self.names = list(names or self.names)
        return self.project.program(
            _PROGRAM
            + _SITE.format(
                name=self.names[0],
                names=self.names,
                all_names=" ".join(self.names),
                server=server or self.acme.directory,
                precheck=precheck,
            )
        )

    @property
    def lineage(self) -> str:
        return certbot.lineage(self.names[0], self.acme.directory)

    def lineages(self) -> list[str]:
        return self.host.run("ls /etc/letsencrypt/renewal 2>/dev/null || true").stdout.split()

    def serial(self, name: str = NAME, acme: AcmeServer | None = None) -> str:
        """Return the serial number of the served certificate.

        The connection trusts only the authority's root.
        """
        context = ssl.create_default_context(cadata=(acme or self.acme).roots())
        with (
            socket.create_connection((self.host.address, 443), timeout=120) as line,
            context.wrap_socket(line, server_hostname=name) as secure,
        ):
            return str((secure.getpeercert() or {})["serialNumber"])

    def serves_anew(self, before: str) -> None:
        """Wait until the site serves a certificate with another serial number than `before`."""
        wait_for("nginx to serve another certificate", lambda: self.serial() != before)

    def make_due(self) -> None:
        """Change the renewal settings of the lineage, so that the timer renews it at once."""
        conf = f"/etc/letsencrypt/renewal/{self.lineage}.conf"
        # Two runs of sed: certbot's comment on this setting is the first line, and sed inserts nothing before
        # a line that it deletes.
        self.not_due()
        self.host.run(f"sed -i '1i renew_before_expiry = 100 days' {conf}")

    def run_timers_unit(self) -> None:
        """Run what the timer runs; fail with certbot's own words."""
        if self.host.run("systemctl start certbot.service", check=False).returncode:
            raise AssertionError(self.host.run("tail -n 60 /var/log/letsencrypt/letsencrypt.log").stdout)

    def not_due(self) -> None:
        self.host.run(f"sed -i '/renew_before_expiry/d' /etc/letsencrypt/renewal/{self.lineage}.conf")
