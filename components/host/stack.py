"""The settings of a whole stack: its hosts, and its apps, stores and sites with their hosts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

from pydantic import Field, PrivateAttr
from typing_extensions import TypedDict

from portcullis.components.backups.args import BackupsArgs
from portcullis.components.certificates.args import AcmeArgs
from portcullis.components.containers.args import AppArgs, ImagesArgs, RegistryArgs, RegistryName
from portcullis.components.host import crosschecks
from portcullis.components.host.args import HardenedHostArgs, HostArgs, StoreMap
from portcullis.components.mongodb.args import MongoDBArgs
from portcullis.components.nginx.args import SiteArgs
from portcullis.components.postgres.args import PostgreSQLArgs
from portcullis.components.redis.args import RedisArgs
from portcullis.components.tunnels.args import Person, TunnelArgs
from portcullis.config import load as config
from portcullis.config import sources
from portcullis.config.forms import Alias, AppName, SecretName, SecretValue, ServerName
from portcullis.config.section import Section, Written
from portcullis.config.value_types import MapOf, SectionMap
from portcullis.policy.args import PolicyArgs

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from portcullis.config.faults import SettingPath

_CREDENTIAL = re.compile("KEY|SECRET|PASSWORD|TOKEN", re.IGNORECASE)
"""Matches variables of a restic backend that hold a secret: AWS_SECRET_ACCESS_KEY, RESTIC_REST_PASSWORD."""


class StackApp(AppArgs):
    """An app of a stack."""

    host: Alias = ""
    """The host that runs it. Optional if the stack has only one host."""


class StackSite(SiteArgs):
    """A site of a stack."""

    host: Alias = ""
    """The host that serves it. By default the host of its app."""


class StackRedis(RedisArgs):
    """A Redis of a stack."""

    host: Alias = ""
    """The host that runs it. Optional if the stack has only one host."""


class StackMongoDB(MongoDBArgs):
    """A MongoDB of a stack."""

    host: Alias = ""
    """The host that runs it. Optional if the stack has only one host."""


class StackPostgreSQL(PostgreSQLArgs):
    """A PostgreSQL of a stack."""

    host: Alias = ""
    """The host that runs it. Optional if the stack has only one host."""


class StackStores(TypedDict, total=False):
    """The stores of a stack."""

    redis: StackRedis
    """A Redis: `{}` is enough."""
    mongo: StackMongoDB
    """A MongoDB with its databases: `{databases: {shop: {}}}`."""
    postgres: StackPostgreSQL
    """A PostgreSQL with its databases: `{databases: {shop: {}}}`."""


class StackArgs(Section):
    """Everything that a stack's file declares."""

    what: ClassVar[str] = "a stack"

    hosts: MapOf[Alias, HostArgs] = Field(default_factory=dict)
    """The hosts, by alias."""
    images: ImagesArgs = Field(default_factory=ImagesArgs)
    """Rules for the names of images."""
    registries: MapOf[RegistryName, RegistryArgs] = Field(default_factory=dict, repr=False)
    """Encrypted logins at image registries, by the registry's name as in the names of images."""
    secrets: MapOf[SecretName, SecretValue] = Field(default_factory=dict, repr=False)
    """The encrypted secrets that apps and sites need, by name."""
    stores: Annotated[StackStores, SectionMap("stores")] = Field(default_factory=StackStores)
    """Redis, MongoDB and PostgreSQL."""
    backups: BackupsArgs = Field(default_factory=BackupsArgs)
    """When the stores are backed up, how long backups are kept, and where copies go."""
    apps: MapOf[AppName, StackApp] = Field(default_factory=dict)
    """The containers that run on a host, by name."""
    acme: AcmeArgs | None = None
    """The authority that issues the certificates of sites."""
    sites: MapOf[ServerName, StackSite] = Field(default_factory=dict)
    """The sites that nginx serves, by host name."""
    tunnels: MapOf[Person, TunnelArgs] = Field(default_factory=dict)
    """The people who reach stores through an SSH tunnel, by name, with the stores of each."""
    policy: PolicyArgs = Field(default_factory=PolicyArgs)
    """The severity of each policy, and the resources that are exempt."""

    _secret: frozenset[str] = PrivateAttr(default=frozenset())

    def model_post_init(self, context: Any, /) -> None:
        """Remember the top-level keys with an encrypted value."""
        if context is not None:
            self._secret = context.secret

    @property
    def secret(self) -> frozenset[str]:
        """The top-level keys with an encrypted value."""
        return self._secret

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse references to undeclared names, ports that are used twice, and unencrypted secrets."""
        at = written.at
        if not written.get("hosts"):
            at.field("hosts").report("declares no host", "docs/configuration.md shows an example")
        if "policy" in at.source.secret:
            why = "write the policy unencrypted, so that reviewers can read it"
            at.field("policy").report("is encrypted", why)
        for key in ("registries", "secrets"):
            if written.get(key) and key not in at.source.secret:
                place = at.field(key)
                path = f"'{place}[\"NAME\"].password'" if key == "registries" else f"{place}.NAME"
                how = f"`pulumi config set --secret --path {path}` asks for each value"
                # Pulumi only says whether a key contains an encrypted value. So we cannot notice an
                # unencrypted value beside an encrypted one.
                place.report("is not encrypted", how)
        for place in _passwords_in_clear(written):
            how = f"`pulumi config set --secret --path {place}` asks for the value"
            place.report("is not encrypted", how)
        crosschecks.of_stack(written)

    def host_of(self, app: str) -> str:
        """Return the alias of the host that runs an app."""
        return self.apps[app].host or self._only

    def apps_on(self, host: str) -> dict[str, StackApp]:
        """Return the apps of one host, by name."""
        return {name: app for name, app in self.apps.items() if self.host_of(name) == host}

    def stores_on(self, host: str) -> StoreMap:
        """Return the stores that one host runs."""
        stores = cast("Mapping[str, StackRedis | StackMongoDB | StackPostgreSQL]", self.stores)
        here = {name: store for name, store in stores.items() if (store.host or self._only) == host}
        return cast("StoreMap", here)

    def sites_on(self, host: str) -> dict[str, StackSite]:
        """Return the sites that one host serves, by host name."""
        return {name: site for name, site in self.sites.items() if self._server(site) == host}

    def tunnels_on(self, host: str) -> dict[str, TunnelArgs]:
        """Return the people who tunnel to stores of one host, each with the stores of that host only."""
        here = self.stores_on(host)
        reached = {
            person: tunnel.model_copy(update={"to": tuple(store for store in tunnel.to if store in here)})
            for person, tunnel in self.tunnels.items()
        }
        return {person: tunnel for person, tunnel in reached.items() if tunnel.to}

    def host_args(self, host: str) -> HardenedHostArgs:
        """Return the arguments of one host, with its stores, apps and sites."""
        declared = self.hosts[host]
        return HardenedHostArgs(
            **{field: getattr(declared, field) for field in declared.model_fields_set},
            stores=self.stores_on(host),
            backups=self.backups,
            apps=self.apps_on(host),
            acme=self.acme,
            sites=self.sites_on(host),
            tunnels=self.tunnels_on(host),
            secrets=self.secrets,
            registries=self.registries,
        )

    @property
    def _only(self) -> str:
        return next(iter(self.hosts))

    def _server(self, site: StackSite) -> str:
        app = next(iter(site.apps.values()), None)
        return site.host or (self._only if app is None else self.host_of(app))


def load(written: Mapping[str, Any], secret: Collection[str] = (), others: Collection[str] = ()) -> StackArgs:
    """Validate the configuration of one stack; `portcullis.config.load.load` explains the arguments.

    Raises:
        SettingsError: the settings have faults. The error lists every fault that can be found without a
            connection to a host.
    """
    return config.load(StackArgs, written, secret, others)


def stack_settings() -> StackArgs:
    """Validate the configuration of the stack that the running program belongs to.

    Raises:
        SettingsError: the settings have faults. The error lists every fault that can be found without a
            connection to a host.
    """
    return sources.of_program(StackArgs)


def _passwords_in_clear(written: Written) -> list[SettingPath]:
    """Return the paths of unencrypted passwords, in sections that may contain other unencrypted values."""
    found = []
    if "stores" not in written.at.source.secret:
        mongo = written.section("stores").section("mongo")
        if mongo.get("former_password"):
            found.append(mongo.at.field("former_password"))
    if "backups" not in written.at.source.secret:
        restic = written.section("backups").section("restic")
        if restic.get("password"):
            found.append(restic.at.field("password"))
        found += [place for name, _, place in restic.items("environment") if _CREDENTIAL.search(name)]
    return found
