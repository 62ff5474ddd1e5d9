"""Debian packages on a host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from portcullis.host.provider import HostProvider, Normaliser, is_known
from portcullis.host.resource import HostResource
from portcullis.provider.changes import STAYS, Line, Severity, with_rest
from portcullis.resources.packages.facts import INSTALLED, NAME, PackagesDesired, PackagesFacts

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pulumi

    from portcullis.host.host import Host
    from portcullis.provider.base import Props
    from portcullis.provider.changes import Change


class PackagesProvider(HostProvider):
    """Provider of `Packages`."""

    kind = "packages"
    desired_type = PackagesDesired
    facts_type = PackagesFacts
    live = ("packages",)
    identity = ("host",)
    instead_of_import = "declare the set: it takes over installed packages as they are"

    def normalise(self, inputs: Normaliser) -> None:
        """Check the names of the packages."""
        packages = inputs.news.get("packages")
        inputs.inputs["packages"] = packages
        inputs.one_of("on_delete", "remove", "purge", "keep")
        inputs.keep("never_purge")
        if inputs.news.get("recommends"):
            inputs.keep("recommends")
        if is_known(packages):
            for name in packages or {}:
                if not NAME.match(name):
                    inputs.fail("packages", f"{name!r} is not the name of a Debian package")
            if not packages:
                inputs.fail("packages", "names no package")

    def absent_inputs(self) -> Props:
        """Return an empty set of packages, because the set itself always exists."""
        return {"packages": {}}

    def lines(self, change: Change) -> list[Line]:
        """Return a line with the missing packages, and a line with those that are no longer declared."""
        packages = sorted(change.props.get("packages") or {})
        if change.op in ("create", "replace"):
            return [Line("packages", f"to install: {', '.join(packages)}", "up installs them")]
        if change.op == "delete":
            keep = change.live.get("on_delete") == "keep"
            remedy = f"{STAYS} on the host" if keep else "up removes what nobody else needs"
            return [Line("packages", f"no longer declared: {', '.join(packages)}", remedy)]
        missing = [name for name, live, _ in change.entries("packages") if live is None]
        extra = [name for name, _, goal in change.entries("packages") if goal is None]
        found = []
        if missing:
            hand = [name for name in missing if change.by_hand(("packages", name))]
            severity = Severity.WRONG if hand else Severity.COSMETIC
            at = ("packages", (hand or missing)[0])
            what = f"not installed: {', '.join(missing)}"
            found.append(Line("packages", what, "up installs them", severity, at=at))
        if extra:
            what = f"no longer declared: {', '.join(extra)}"
            found.append(Line("packages", what, at=("packages", extra[0])))
        return with_rest(change, "packages", found, "packages")


class Packages(HostResource):
    """A set of installed Debian packages.

    The services of a package start neither at the installation nor at the next boot. To start a service,
    declare a `Service` after the files of its configuration. A delete removes only packages that we installed
    and that nothing else needs.
    """

    packages: pulumi.Output[dict[str, str]]

    def __init__(
        self,
        name: str,
        *,
        host: Host | str,
        names: Sequence[str],
        on_delete: Literal["remove", "purge", "keep"] = "remove",
        never_purge: Sequence[str] = (),
        recommends: bool = False,
        adopt: bool | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the packages.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            names: names of Debian packages.
            on_delete: remove the packages, remove them with their configuration and data (`purge`), or keep
                them.
            never_purge: packages that `purge` only removes, because their purge deletes people's data.
            recommends: install recommended packages too; Debian's docker.io then brings git and needrestart.
            adopt: allow an installation that removes other packages, such as a conflicting one. Packages that
                are installed already never need `adopt`.
            opts: resource options.
        """
        self.names = tuple(names)
        super().__init__(
            PackagesProvider,
            name,
            host=host,
            adopt=adopt,
            inputs={
                "packages": dict.fromkeys(sorted(names), INSTALLED),
                "on_delete": on_delete,
                "never_purge": sorted(never_purge) or None,
                "recommends": recommends or None,
            },
            opts=opts,
        )
