"""Redis: users with generated passwords, a limit on memory, data that outlives the container."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi
from pulumi import ResourceOptions

from portcullis.components.containers.component import PrivateContainer, PrivateContainerArgs
from portcullis.components.firewall.args import Interface
from portcullis.components.redis import render
from portcullis.components.redis.args import Eviction, Memory, Persistence
from portcullis.components.redis.resource import RedisUser
from portcullis.components.secrets.component import FOLDER as SECRETS
from portcullis.components.secrets.component import SecretFiles, SecretFilesArgs
from portcullis.components.secrets.resource import GeneratedSecret
from portcullis.components.stores.store_use import StoreUse
from portcullis.config.arguments import validate
from portcullis.config.forms import Alias, Owner, PinnedImage, Port
from portcullis.resources import Directory, File, Sysctl

if TYPE_CHECKING:
    from portcullis.components.certificates.component.internal_ca import InternalCa
    from portcullis.components.docker.component import DockerEngine

_ROOT = "/etc/portcullis/redis"
# A name that no app can have.
_OPS = "_ops"
_CREDENTIAL = "ops"


@dataclass(frozen=True, slots=True)
class RedisArgs:
    """What a Redis needs to know.

    Attributes:
        host: alias of the host.
        engine: the Docker engine that runs it.
        image: the official image or one like it, Redis 7 or 8, by digest.
        memory: limit of the whole container in MB; data may take three quarters of it.
        persistence: "aof" keeps every write in a log on a volume, "none" keeps nothing.
        eviction: what gives way when the memory is full, a policy of Redis; None refuses writes where data is
            kept ("noeviction"), and drops what was used least recently where it is not ("allkeys-lru").
        host_port: the port on docker0's address, for tunnels and for our own agent.
        ca: the authority that certifies it; with one it speaks TLS and nothing else.
        rotate: a word; another one gives every user a new password, without a request lost.
        protect: refuse to let go of the volume, until this is taken back.
        user: user and group inside by number; official images on Alpine have "999:1000".
        bridge: name of the network's interface, for rules of the forward filter that speak of it.
        overcommit: set vm.overcommit_memory on the host; not possible where it is a container itself.
        adopt: take over files and users that are there and differ.

    Raises:
        ValueError: naming every attribute that cannot be used.
    """

    host: str
    engine: DockerEngine
    image: str
    memory: int = 256
    persistence: render.Persistence = "aof"
    eviction: str | None = None
    host_port: int = render.PORT
    ca: InternalCa | None = None
    rotate: str | None = None
    protect: bool = False
    user: str = "999:999"
    bridge: str | None = None
    overcommit: bool = True
    adopt: bool = False

    def __post_init__(self) -> None:
        """Check what would otherwise fail on the host."""
        validate(
            self,
            {
                "host": Alias,
                "image": PinnedImage,
                "memory": Memory,
                "persistence": Persistence,
                "eviction": Eviction,
                "host_port": Port,
                "user": Owner,
                "bridge": Interface,
            },
        )


class Redis(pulumi.ComponentResource):
    """A Redis that nobody enters without a password which nobody typed; see docs/stores/redis.md.

    Attributes:
        container: the private container; its shared network is the one that apps join.
        address: address and port to reach it at on this host.
        credential: the file on the host with the ops user and its password, apart by a space. The container
            has it as /run/secrets/ops.
        volume: the Docker volume with its data, or None where it keeps nothing.
        ready: what has to be there before anybody uses it.
    """

    container: PrivateContainer
    address: str
    credential: str
    volume: str | None
    ready: list[pulumi.Resource]

    def __init__(self, name: str, args: RedisArgs, opts: ResourceOptions | None = None) -> None:
        """Declare the server under `name`, which apps know it by; the container bears that name too."""
        super().__init__("portcullis:index:Redis", name, None, opts)
        self._name, self._args = name, args
        self._own = ResourceOptions(parent=self)
        self.address = f"{args.engine.bind_address}:{args.host_port}"
        self.credential = f"{SECRETS}/{name}-secrets/{_CREDENTIAL}"
        self.volume = f"{name}-data" if args.persistence == "aof" else None
        self._folder = f"{_ROOT}/{name}"
        folder = Directory(
            f"{name}-folder",
            host=args.host,
            path=self._folder,
            make_parents=True,
            adopt=args.adopt,
            opts=self._own,
        )
        # First the user and then its credential: with the old one the new user is made.
        self._ops, password = self._user(_OPS, render.OPS_RULES, keeper=True, after=(folder,))
        secrets = SecretFiles(
            f"{name}-secrets",
            SecretFilesArgs(
                host=args.host,
                owner=args.user,
                files={
                    _CREDENTIAL: pulumi.Output.concat(self._ops.user, " ", password, "\n"),
                    **self._certificate(),
                },
                adopt=args.adopt,
                after=(self._ops,),
            ),
            opts=self._own,
        )
        config = File(
            f"{name}-config",
            host=args.host,
            path=f"{self._folder}/{render.CONFIG}",
            content=self._config(),
            adopt=args.adopt,
            opts=ResourceOptions(parent=self, depends_on=[folder]),
        )
        self.container = PrivateContainer(
            name,
            PrivateContainerArgs(
                engine=args.engine,
                image=args.image,
                command=("redis-server", f"{render.FOLDER}/{render.CONFIG}"),
                health=tuple(render.health_check(tls=args.ca is not None)),
                port=render.PORT,
                host_port=args.host_port,
                shared=True,
                bridge=args.bridge,
                user=args.user,
                memory=args.memory,
                secrets=secrets,
                # The folder and not its files, which are replaced by others of their names.
                binds={self._folder: render.FOLDER},
                volumes={self.volume: render.DATA} if self.volume else {},
                protect_volumes=args.protect,
                # Else the image would make a volume without a name at every start.
                tmpfs={} if self.volume else {render.DATA: 1},
                # It writes what is left of its log.
                stop_grace=30,
                # Much data takes long to read, and a server that was killed mends its files first.
                healthy_within=300,
                after=(config, *self._overcommit()),
                refresh={
                    "config": config.revision,
                    # Redis reads a certificate when it starts.
                    **({"certificate": secrets.revisions["server.crt"]} if args.ca else {}),
                },
            ),
            opts=self._own,
        )
        self.ready = [self._ops, *self.container.ready]
        self.register_outputs({"address": self.address, "volume": self.volume})

    def uses(self, app: str) -> StoreUse:
        """Declare a user for an app, and return what the app needs to use it.

        Args:
            app: its name; the user's is `APP-GENERATION`.
        """
        user, password = self._user(app, render.APP_RULES, after=(self._ops,))
        scheme = "rediss" if self._args.ca else "redis"
        url = pulumi.Output.concat(f"{scheme}://", user.user, ":", password, f"@{self._name}:{render.PORT}/0")
        return StoreUse(
            networks=(self.container.shared,),
            files={
                "redis_url": pulumi.Output.secret(url),
                "redis_password": password,
                **({"redis_ca.crt": self._args.ca.ca_pem} if self._args.ca else {}),
            },
            ready=(user, *self.ready),
        )

    def _user(
        self, of: str, rules: str, *, keeper: bool = False, after: tuple[pulumi.Resource, ...]
    ) -> tuple[RedisUser, pulumi.Output[str]]:
        args, name = self._args, f"{self._name}-user-{of.lstrip('_')}"
        secret = GeneratedSecret(f"{name}-password", rotate=args.rotate, opts=self._own)
        user = RedisUser(
            name,
            host=args.host,
            acl=f"{self._folder}/{render.ACL}",
            address=self.address,
            ops=self.credential,
            ca=f"{SECRETS}/{self._name}-secrets/ca.crt" if args.ca else None,
            # Plugins answer with floating-point numbers, and `make plan` with none.
            user=secret.generation.apply(lambda generation: f"{of}-{int(generation or 1)}"),
            password=secret.value,
            rules=rules,
            gid=args.user.partition(":")[2],
            keeper=keeper,
            adopt=args.adopt,
            opts=ResourceOptions(parent=self, depends_on=[*after]),
        )
        return user, secret.value

    def _config(self) -> str:
        args = self._args
        eviction = args.eviction or ("noeviction" if args.persistence == "aof" else "allkeys-lru")
        limits = render.Limits(args.memory, eviction, args.persistence)
        return render.redis_conf(f"{self._name}-config", limits, tls=args.ca is not None)

    def _certificate(self) -> dict[str, pulumi.Output[str]]:
        """Return what TLS takes: apps go by name, the agent by address, the health check by loopback."""
        args = self._args
        if args.ca is None:
            return {}
        addresses = [args.engine.bind_address, "127.0.0.1"]
        certificate, key = args.ca.server(self._name, [self._name, "localhost"], addresses)
        return {"server.crt": certificate, "server.key": key, "ca.crt": args.ca.ca_pem}

    def _overcommit(self) -> list[pulumi.Resource]:
        if not self._args.overcommit:
            return []
        own = f"{self._name}-overcommit"
        values = {"vm.overcommit_memory": "1"}
        return [
            Sysctl(
                own,
                host=self._args.host,
                path=f"/etc/sysctl.d/98-portcullis-{self._name}.conf",
                values=values,
                content=render.overcommit_conf(own, values),
                adopt=self._args.adopt,
                opts=self._own,
            )
        ]
