"""The stores of a host, and what each gives to the apps that use it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import pulumi
from pulumi import ResourceOptions

from portcullis.components.backups import component as backups
from portcullis.components.backups.component import Backup, BackupArgs, BackupSource
from portcullis.components.certificates.component.internal_ca import InternalCa
from portcullis.components.containers.apps import bridge
from portcullis.components.containers.component import SECRETS
from portcullis.components.host.args import host_ports
from portcullis.components.mongodb import component as mongodb
from portcullis.components.mongodb.component import MongoDB
from portcullis.components.redis import component as redis_component
from portcullis.components.redis.component import Redis
from portcullis.components.tunnels.component import StoreLogin, TunnelTarget
from portcullis.config.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.components.backups.args import BackupsArgs, ResticArgs
    from portcullis.components.docker.component import DockerEngine
    from portcullis.components.host.args import StoreMap
    from portcullis.components.mongodb.args import MongoDBArgs
    from portcullis.components.redis.args import RedisArgs
    from portcullis.components.stores.store_use import StoreUse

REDIS: Final = "redis"
MONGO: Final = "mongo"
"""Names of the stores in the settings; their containers bear them too."""
_CA = {REDIS: f"{SECRETS}/ca.crt", MONGO: f"{SECRETS}/ca.pem"}


def reachable(stores: StoreMap, bind_address: str) -> dict[str, TunnelTarget]:
    """Return where a tunnel to each store leads. Known before there is a store: sshd's settings need it."""
    return {name: TunnelTarget(port, bind_address) for name, port in host_ports(stores).items()}


def sealed(stores: StoreMap) -> dict[str, tuple[str, ...]]:
    """Return the interfaces of the stores, with the destinations outside that they may reach: none."""
    return {bridge(name): () for name in stores}


@dataclass(frozen=True, slots=True)
class StoresArgs:
    """What the stores of a host need to know.

    Attributes:
        host: alias of the host.
        engine: the Docker engine that runs them.
        stores: the stores that this host runs.
        backups: how they are backed up.
        overcommit: whether vm.overcommit_memory may be set on this host.
        adopt: take over files that are there and differ.
    """

    host: str
    engine: DockerEngine
    stores: StoreMap
    backups: BackupsArgs
    overcommit: bool = True
    adopt: bool = False


class Stores(pulumi.ComponentResource):
    """The stores of a host, with their backups.

    Attributes:
        redis: the Redis, or None.
        mongo: the MongoDB, or None.
        backup: their backups, or None.
    """

    redis: Redis | None
    mongo: MongoDB | None
    backup: Backup | None

    def __init__(self, name: str, args: StoresArgs, opts: ResourceOptions | None = None) -> None:
        """Declare them under `name`, such as "web1-stores"."""
        super().__init__("portcullis:index:Stores", name, None, opts)
        self._args, self._own = args, ResourceOptions(parent=self)
        redis, mongo = args.stores.get(REDIS), args.stores.get(MONGO)
        with_tls = [store for store in (redis, mongo) if store and store.tls]
        authority = InternalCa(f"{name}-ca", opts=self._own) if with_tls else None
        self._ca = authority.ca_pem if authority else None
        self.redis = self.mongo = self.backup = None
        if redis:
            self.redis = Redis(
                REDIS,
                redis_component.RedisArgs(
                    host=args.host,
                    engine=args.engine,
                    image=redis.image,
                    memory=redis.memory,
                    persistence=redis.persistence,
                    eviction=redis.eviction,
                    host_port=redis.host_port,
                    ca=authority if redis.tls else None,
                    rotate=redis.rotate,
                    protect=redis.protect,
                    user=redis.user,
                    bridge=bridge(REDIS),
                    overcommit=args.overcommit,
                    adopt=args.adopt,
                ),
                self._own,
            )
        if mongo:
            former = mongo.former_password
            self.mongo = MongoDB(
                MONGO,
                mongodb.MongoDBArgs(
                    host=args.host,
                    engine=args.engine,
                    image=mongo.image,
                    databases=mongo.databases,
                    memory=mongo.memory,
                    cpus=mongo.cpus,
                    host_port=mongo.host_port,
                    rotate=mongo.rotate,
                    replica_set=mongo.replica_set,
                    ca=authority if mongo.tls else None,
                    protect=mongo.protect,
                    former_password=None if former is None else Secret.of(former).output,
                    avx=mongo.avx,
                    bridge=bridge(MONGO),
                    adopt=args.adopt,
                ),
                self._own,
            )
        # By app, what it uses: each use of Redis is a user of its own.
        self._uses: dict[tuple[str, str], StoreUse] = {}
        sources = self._sources()
        if args.backups.enabled and sources:
            self.backup = Backup(f"{args.host}-backup", self._backup(args.backups, sources), self._own)
        self.register_outputs({"stores": sorted(sources)})

    def use(self, store: str, app: str) -> StoreUse:
        """Return what an app needs to use a store.

        Args:
            store: as the settings have it: "redis", or "mongo.shop".
            app: the app's name.

        Raises:
            ValueError: there is no such store here.
        """
        kind, _, database = store.partition(".")
        if kind == REDIS and self.redis:
            use = self.redis.uses(app)
        elif kind == MONGO and self.mongo:
            use = self.mongo.uses(database)
        else:
            raise ValueError(f"Stores: {store!r} is not a store of {self._args.host}")
        self._uses[app, store] = use
        return use

    def tunnels(self) -> Mapping[str, TunnelTarget]:
        """Return where a tunnel to each store leads, and the users of the apps that log in there."""
        redis, mongo = self._args.stores.get(REDIS), self._args.stores.get(MONGO)
        found = {}
        if redis:
            logins = {
                app: StoreLogin.of(use.files["redis_url"])
                for (app, store), use in self._uses.items()
                if store == REDIS
            }
            found[REDIS] = self._target(redis, "redis", logins)
        if mongo and self.mongo:
            logins = {
                database: StoreLogin.of(self.mongo.uses(database).files[f"mongo_{database}_url"])
                for database in mongo.databases
            }
            found[MONGO] = self._target(mongo, "mongodb", logins)
        return found

    def _target(
        self,
        store: RedisArgs | MongoDBArgs,
        scheme: Literal["redis", "mongodb"],
        logins: Mapping[str, StoreLogin],
    ) -> TunnelTarget:
        bind, ca = self._args.engine.bind_address, self._ca if store.tls else None
        return TunnelTarget(store.host_port, bind, scheme, logins, tls=store.tls, ca=ca)

    def _sources(self) -> dict[str, BackupSource]:
        """Return what there is to back up: a Redis that keeps nothing is not."""
        found = {}
        redis, mongo = self._args.stores.get(REDIS), self._args.stores.get(MONGO)
        if self.redis and redis and redis.persistence == "aof":
            ca = _CA[REDIS] if redis.tls else ""
            found[REDIS] = BackupSource("redis", REDIS, ca=ca, after=self.redis.ready)
        if self.mongo and mongo:
            ca = _CA[MONGO] if mongo.tls else ""
            found[MONGO] = BackupSource("mongo", MONGO, ca=ca, after=self.mongo.ready)
        return found

    def _backup(self, settings: BackupsArgs, sources: Mapping[str, BackupSource]) -> BackupArgs:
        return BackupArgs(
            host=self._args.host,
            stores=sources,
            keep=settings.keep,
            time=settings.time,
            restic=_restic(settings.restic) if settings.restic else None,
            after=tuple(self._args.engine.ready),
            adopt=self._args.adopt,
        )


def _restic(restic: ResticArgs) -> backups.ResticArgs:
    environment = {name: Secret.of(value).output for name, value in restic.environment.items()}
    password = None if restic.password is None else Secret.of(restic.password).output
    return backups.ResticArgs(restic.repository, environment, password)
