"""What nginx serves: that it runs on its present files, and that each site answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from portcullis.components.nginx.facts import NAME, SERVED, ServedSitesDesired, ServedSitesFacts
from portcullis.host.provider import HostProvider, Normaliser, is_known
from portcullis.host.resource import HostResource
from portcullis.host.strangers import TellsStrangers, check_accepted
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
    """How a site is asked for, over loopback.

    Attributes:
        tls: it is served on port 443 as well as on port 80.
        certificate: path on the host of the file whose first certificate is shown there; "" takes any.
    """

    tls: bool = True
    certificate: pulumi.Input[str] = ""


class ServedSitesProvider(TellsStrangers, HostProvider):
    """Provider of `ServedSites`."""

    kind = "nginx.served_sites"
    section = Section.SITES
    desired_type = ServedSitesDesired
    facts_type = ServedSitesFacts
    live = ("sites", "stale", "broken", "strangers")
    identity = ("host", "unit")
    instead_of_import = "it only reads: declare it"
    reload = "systemctl reload nginx"

    def normalise(self, inputs: Normaliser) -> None:
        """Check the unit and the names."""
        unit = inputs.text("unit")
        if unit is not None and not unit.endswith(".service"):
            inputs.fail("unit", f"{unit!r} is not the full name of a service, such as nginx.service")
        inputs.keep("reads", "sites", "probes")
        # Read back as True when a file under `reads` is newer than what nginx runs on.
        inputs.inputs["stale"] = False
        # Read back as the line by which nginx refuses its configuration.
        inputs.inputs["broken"] = ""
        check_accepted(inputs)
        sites = inputs.news.get("sites")
        for name in sites if is_known(sites) and sites else ():
            if not NAME.fullmatch(name):
                inputs.fail("sites", f"{name!r} is not a host name")

    def absent_inputs(self) -> Props:
        """Return nothing: what is not there is told of site by site."""
        return {}

    def subject(self, change: Change) -> str:
        """Return what it is about."""
        return "sites of nginx"

    def differing(self, change: Change, subject: str) -> list[Line]:
        """Say which site is not served, and why, and what nobody declared."""
        found = [
            Line(site, str(live) if goal else "no longer declared", "", Severity.WRONG, at=("sites", site))
            for site, live, goal in change.entries("sites")
            if live is not None
        ]
        found += self.strange(change) + self.refused(change, "nginx")
        what = "nginx runs on older files than those that are there"
        if change.changes("stale"):
            stale = Line("nginx", what, "up reloads it", Severity.WRONG, at=("stale",), follows=True)
            found.append(stale)
        # What a site is asked for, and what nginx reads, goes with the site's files.
        return with_rest(change, "nginx", found, "sites", "probes", "reads")


class ServedSites(HostResource):
    """That nginx serves every site, asked for over loopback, and runs on its present files.

    What differs is mended by a reload, after `nginx -t`: never by a restart, which would cut everybody off.
    It is done when nobody takes requests by the former configuration any more and every site answers.

    What is in its configuration and neither declared nor as its packages bring it is told, and stays.

    Attributes:
        sites: each site and "served", or why it is not.
        strangers: what in nginx's configuration nobody declared: path to what it is, and what it serves.
    """

    sites: pulumi.Output[dict[str, str]]
    strangers: pulumi.Output[dict[str, str]]

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
        """Declare it.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            sites: how each is asked for, by host name; *.example.com is asked for by a name below it.
            unit: nginx's unit.
            reads: what nginx runs on: resources, or paths of files and folders that others write.
            accepted: files of others that may be in nginx's configuration: path to the reason.
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
                "strangers": {},
                "accepted": dict(accepted or {}),
            },
            outputs=(),
            opts=opts,
        )
