"""The check of nginx: nginx runs on its present files, and each site answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from portcullis.components.nginx.facts import NAME, SERVED, ServedSitesDesired, ServedSitesFacts
from portcullis.host.provider import HostProvider, Normaliser, is_known
from portcullis.host.resource import HostResource
from portcullis.host.undeclared import TellsUndeclared, check_accepted
from portcullis.provider.changes import Line, Section, Severity, with_rest
from portcullis.resources.service.resource import what_is_read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pulumi

    from portcullis.host.host import Host
    from portcullis.provider.base import Props
    from portcullis.provider.changes import Change
    from portcullis.resources.directory.resource import Directory
    from portcullis.resources.file.resource import File
    from portcullis.resources.packages.resource import Packages
    from portcullis.resources.tree.resource import Tree


@dataclass(frozen=True, slots=True)
class SiteProbe:
    """How to check a site over loopback.

    Attributes:
        tls: whether nginx serves the site on port 443, and not only on port 80.
        certificate: path on the host of the file whose first certificate port 443 must show; "" accepts any
            certificate.
    """

    tls: bool = True
    certificate: pulumi.Input[str] = ""


class ServedSitesProvider(TellsUndeclared, HostProvider):
    """Provider of `ServedSites`."""

    kind = "nginx.served_sites"
    section = Section.SITES
    desired_type = ServedSitesDesired
    facts_type = ServedSitesFacts
    live = ("sites", "stale", "broken", "undeclared")
    identity = ("host", "unit")
    instead_of_import = "this resource only checks, and owns nothing on the host: declare it"
    reload = "systemctl reload nginx"

    def normalise(self, inputs: Normaliser) -> None:
        """Check the unit and the names of sites."""
        unit = inputs.text("unit")
        if unit is not None and not unit.endswith(".service"):
            inputs.fail("unit", f"{unit!r} is not the full name of a service, such as nginx.service")
        inputs.keep("reads", "sites", "probes")
        # A refresh reads back True if a file under `reads` is newer than the configuration that nginx runs
        # on.
        inputs.inputs["stale"] = False
        # A refresh reads back the message with which nginx refuses its configuration.
        inputs.inputs["broken"] = ""
        check_accepted(inputs)
        sites = inputs.news.get("sites")
        for name in sites if is_known(sites) and sites else ():
            if not NAME.fullmatch(name):
                inputs.fail("sites", f"{name!r} is not a host name")

    def absent_inputs(self) -> Props:
        """Return nothing: each missing site has a line of its own in the report."""
        return {}

    def subject(self, change: Change) -> str:
        """Return the subject of this resource's lines in a report."""
        return "sites of nginx"

    def differing(self, change: Change, subject: str) -> list[Line]:
        """Return a line for each site that nginx does not serve, and for each undeclared file."""
        found = [
            Line(site, str(live) if goal else "no longer declared", "", Severity.WRONG, at=("sites", site))
            for site, live, goal in change.entries("sites")
            if live is not None
        ]
        found += self.undeclared(change) + self.refused(change, "nginx")
        what = "nginx runs on older files than those on the host"
        if change.changes("stale"):
            stale = Line("nginx", what, "up reloads it", Severity.WRONG, at=("stale",), follows=True)
            found.append(stale)
        # A change of `probes` or `reads` comes with a change of the site's files, which has its own line.
        return with_rest(change, "nginx", found, "sites", "probes", "reads")


class ServedSites(HostResource):
    """The check that nginx runs on its present files and, over loopback, serves every site.

    If something differs, `up` tests the configuration with `nginx -t` and reloads nginx. `up` never restarts
    nginx, which would cut off every visitor. Then `up` waits until no worker takes requests with the former
    configuration and every site answers.

    The resource reports undeclared files in nginx's configuration, and changed files of nginx's packages.
    `up` leaves these files as they are.

    Attributes:
        sites: each site with "served", or with the reason why nginx does not serve it.
        undeclared: undeclared and changed files in nginx's configuration, by path, each with a description.
    """

    sites: pulumi.Output[dict[str, str]]
    undeclared: pulumi.Output[dict[str, str]]

    def __init__(
        self,
        name: str,
        *,
        host: Host | str,
        sites: Mapping[str, SiteProbe],
        unit: str = "nginx.service",
        reads: Sequence[File | Tree | Directory | Packages | str] = (),
        accepted: Mapping[str, str] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the check.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            sites: how to check each site, by host name. For *.example.com, the check requests a name below
                example.com.
            unit: nginx's unit.
            reads: what nginx depends on: resources, or paths of files and folders that no resource writes.
            accepted: undeclared files that may be in nginx's configuration, by path, each with the reason.
            opts: resource options.
        """
        super().__init__(
            ServedSitesProvider,
            name,
            host=host,
            adopt=False,
            inputs={
                "unit": unit,
                "sites": dict.fromkeys(sorted(sites), SERVED),
                "probes": {
                    site: {"tls": probe.tls, "certificate": probe.certificate}
                    for site, probe in sorted(sites.items())
                },
                "reads": dict(what_is_read(thing) for thing in reads),
                "stale": False,
                "broken": "",
                "undeclared": {},
                "accepted": dict(accepted or {}),
            },
            outputs=(),
            opts=opts,
        )
