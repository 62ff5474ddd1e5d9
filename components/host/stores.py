"""The stores of a host, and the access of apps and tunnels to these stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import pulumi
from pulumi import ResourceOptions

from portcullis.components.backups.args import BackupSource
from portcullis.components.backups.component import Backup
from portcullis.components.certificates.args import InternalCaArgs
from portcullis.components.certificates.component.internal_ca import InternalCa
from portcullis.components.containers.apps import bridge
from portcullis.components.containers.args import SECRETS
from portcullis.components.host.wiring import by_name, store_ports
from portcullis.components.mongodb.component import MongoDB
from portcullis.components.postgres.component import PostgreSQL
from portcullis.components.redis.component import Redis
from portcullis.components.tunnels.component import StoreLogin, TunnelTarget

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.components.backups.args import BackupsArgs
    from portcullis.components.docker.component import AnyDockerEngine
    from portcullis.components.host.args import StoreMap
    from portcullis.components.mongodb.args import MongoDBArgs
    from portcullis.components.postgres.args import PostgreSQLArgs
    from portcullis.components.redis.args import RedisArgs
    from portcullis.components.stores.store_use import StoreUse

REDIS: Final = "redis"
MONGO: Final = "mongo"
POSTGRES: Final = "postgres"
"""Names of the stores in the settings. Their containers have the same names."""
_CA = {REDIS: f"{SECRETS}/ca.crt", MONGO: f"{SECRETS}/ca.pem"}


def reachable(stores: StoreMap, bind_address: str) -> dict[str, TunnelTarget]:
    """Return the target of a tunnel to each store.

    The settings of sshd need these targets before the stores exist.
    """
    return {name: TunnelTarget(port, bind_address) for name, port in store_ports(stores).items()}


class Stores(pulumi.ComponentResource):
    """The stores of a host, with their backups.

    Attributes:
        redis: the Redis, or None if the host has none.
        mongo: the MongoDB, or None if the host has none.
        postgres: the PostgreSQL, or None if the host has none.
        all: those that the host has.
        backup: the backups of the stores, or None if there are none.
    """

    redis: Redis | None
    mongo: MongoDB | None
    postgres: PostgreSQL | None
    all: list[Redis | MongoDB | PostgreSQL]
    backup: Backup | None

    def __init__(
        self,
        name: str,
        stores: StoreMap,
        *,
        engine: AnyDockerEngine,
        backups: BackupsArgs,
        overcommit: bool = True,
        opts: ResourceOptions | None = None,
    ) -> None:
        """Declare the stores.

        Args:
            name: the component's name, such as "web1-stores".
            stores: the stores that this host runs.
            engine: the Docker engine that runs them.
            backups: the settings of their backups.
            overcommit: whether Portcullis may set vm.overcommit_memory on this host.
            opts: options of the component.
        """
        super().__init__("portcullis:index:Stores", name, None, opts)
        self._declared, self._engine, self._own = stores, engine, ResourceOptions(parent=self)
        redis, mongo, postgres = stores.get(REDIS), stores.get(MONGO), stores.get(POSTGRES)
        with_tls = any(store.tls for store in by_name(stores).values())
        authority = InternalCa(f"{name}-ca", InternalCaArgs(), opts=self._own) if with_tls else None
        self.redis = self.mongo = self.postgres = self.backup = None
        if redis:
            self.redis = Redis(
                REDIS,
                redis,
                engine=engine,
                ca=authority,
                bridge=bridge(REDIS),
                overcommit=overcommit,
                opts=self._own,
            )
        if mongo:
            self.mongo = MongoDB(
                MONGO, mongo, engine=engine, ca=authority, bridge=bridge(MONGO), opts=self._own
            )
        if postgres:
            self.postgres = PostgreSQL(
                POSTGRES, postgres, engine=engine, ca=authority, bridge=bridge(POSTGRES), opts=self._own
            )
        self.all = [store for store in (self.redis, self.mongo, self.postgres) if store]
        # The stores that each app uses, by app and store. Each app that uses Redis gets its own Redis user.
        self._uses: dict[tuple[str, str], StoreUse] = {}
        sources = self._sources()
        if backups.enabled and sources:
            self.backup = Backup(
                f"{engine.host.alias}-backup",
                backups,
                host=engine.host,
                stores=sources,
                opts=ResourceOptions(parent=self, depends_on=self.all),
            )
        self.register_outputs({"stores": sorted(sources)})

    def use(self, store: str, app: str) -> StoreUse:
        """Return the access of an app to a store.

        Args:
            store: the store's name as in the settings: "redis", or "mongo.shop".
            app: the app's name.

        Raises:
            ValueError: this host has no such store.
        """
        kind, _, database = store.partition(".")
        if kind == REDIS and self.redis:
            use = self.redis.uses(app)
        elif kind == MONGO and self.mongo:
            use = self.mongo.uses(database)
        elif kind == POSTGRES and self.postgres:
            use = self.postgres.uses(app, database)
        else:
            raise ValueError(f"Stores: {store!r} is not a store of {self._engine.host.alias}")
        self._uses[app, store] = use
        return use

    def tunnels(self) -> Mapping[str, TunnelTarget]:
        """Return the target of a tunnel to each store, with the logins of the apps that use the store."""
        redis, mongo = self._declared.get(REDIS), self._declared.get(MONGO)
        postgres = self._declared.get(POSTGRES)
        found = {}
        if redis and self.redis:
            logins = {
                app: StoreLogin.of(use.files["redis_url"])
                for (app, store), use in self._uses.items()
                if store == REDIS
            }
            found[REDIS] = self._target(redis, "redis", logins, self.redis)
        if mongo and self.mongo:
            logins = {
                database: StoreLogin.of(self.mongo.uses(database).files[f"mongo_{database}_url"])
                for database in mongo.databases
            }
            found[MONGO] = self._target(mongo, "mongodb", logins, self.mongo)
        if postgres and self.postgres:
            logins = {
                f"{store.partition('.')[2]}-{app}": StoreLogin.of(use.files[f"{store.replace('.', '_')}_url"])
                for (app, store), use in self._uses.items()
                if store.startswith(f"{POSTGRES}.")
            }
            found[POSTGRES] = self._target(postgres, "postgres", logins, self.postgres)
        return found

    def _target(
        self,
        declared: RedisArgs | MongoDBArgs | PostgreSQLArgs,
        scheme: Literal["redis", "mongodb", "postgres"],
        logins: Mapping[str, StoreLogin],
        store: Redis | MongoDB | PostgreSQL,
    ) -> TunnelTarget:
        bind = self._engine.bind_address
        return TunnelTarget(declared.host_port, bind, scheme, logins, tls=declared.tls, ca=store.ca_pem)

    def _sources(self) -> dict[str, BackupSource]:
        """Return what to back up: Redis if it persists its data, MongoDB, and each database of PostgreSQL."""
        found = {}
        redis, mongo = self._declared.get(REDIS), self._declared.get(MONGO)
        postgres = self._declared.get(POSTGRES)
        if redis and redis.persistence == "aof":
            found[REDIS] = BackupSource(kind="redis", container=REDIS, ca=_CA[REDIS] if redis.tls else None)
        if mongo:
            found[MONGO] = BackupSource(kind="mongo", container=MONGO, ca=_CA[MONGO] if mongo.tls else None)
        for name in postgres.databases if postgres else ():
            found[f"{POSTGRES}.{name}"] = BackupSource(kind="postgres", container=POSTGRES, database=name)
        return found
