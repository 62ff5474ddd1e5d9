"""Redis: users with generated passwords, a memory limit, and data that survives the container."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
from pulumi import ResourceOptions

from portcullis.components.certificates.args import InternalCaArgs
from portcullis.components.certificates.component.internal_ca import InternalCa
from portcullis.components.containers.args import PrivateContainerArgs
from portcullis.components.containers.component import PrivateContainer
from portcullis.components.containers.images import pinned
from portcullis.components.redis import render
from portcullis.components.redis.resource import RedisUser
from portcullis.components.secrets.component import FOLDER as SECRETS
from portcullis.components.secrets.component import SecretFiles
from portcullis.components.secrets.resource import GeneratedSecret
from portcullis.components.stores.store_use import StoreUse
from portcullis.resources import Directory, File, Sysctl

if TYPE_CHECKING:
    from portcullis.components.docker.component import AnyDockerEngine
    from portcullis.components.redis.args import RedisArgs

_ROOT = "/etc/portcullis/redis"
# A name that no app can have.
_OPS = "_ops"
_CREDENTIAL = "ops"


class Redis(pulumi.ComponentResource):
    """A Redis server. Every client needs a password, and all passwords are generated.

    See docs/stores/redis.md.

    Attributes:
        container: the private container.
        address: address and port where this host reaches the server.
        credential: the file on the host with the name and password of the ops user, separated by a space. The
            container has it as /run/secrets/ops.
        volume: the Docker volume with its data, or None if it keeps nothing.
        ca_pem: the certificate of the authority that clients must trust, or None without TLS.

    Example:
        ```python
        from portcullis.components import ExistingDockerEngine, Redis, RedisArgs
        from portcullis.host import Connection, Host, write_ssh_config

        HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq"
        REDIS = "redis:8@sha256:5c0f4a1e8d7b6c5a493827161504f3e2d1c0bfaebdac9b8a7968574635241302"

        write_ssh_config({"web1": Connection("203.0.113.10", host_key=HOST_KEY)})
        # An engine that the host already has. A DockerEngine works as well.
        engine = ExistingDockerEngine("web1-docker", host=Host("web1"))
        redis = Redis("redis", RedisArgs(image=REDIS, memory=128), engine=engine)
        use = redis.uses("api")  # give it to the app: PrivateContainer("api", …, uses=[use])
        ```
    """

    container: PrivateContainer
    address: str
    credential: str
    volume: str | None
    ca_pem: pulumi.Output[str] | None

    def __init__(
        self,
        name: str,
        args: RedisArgs,
        *,
        engine: AnyDockerEngine,
        ca: InternalCa | None = None,
        bridge: str | None = None,
        overcommit: bool = True,
        opts: ResourceOptions | None = None,
    ) -> None:
        """Declare the server.

        Args:
            name: the name that apps use. Component and container have it too.
            args: settings of the server. If the image is named by tag, its registry is asked for the digest.
            engine: the engine that runs it: a `DockerEngine`, or an `ExistingDockerEngine`. With `adopt` of
                its host, `up` takes over files and users that differ.
            ca: the authority that signs its certificate for TLS. By default the component makes its own.
            bridge: name of the network's interface, for rules of the forward filter.
            overcommit: set vm.overcommit_memory on the host. A host that is a container cannot set it.
            opts: options of the component.

        Raises:
            ArgumentsError: a registry does not give the image's digest.
        """
        image = pinned(args.image, "RedisArgs.image")
        super().__init__("portcullis:index:Redis", name, None, opts)
        self._name, self._args, self._engine = name, args, engine
        self._own = ResourceOptions(parent=self)
        self._ca = (ca or InternalCa(f"{name}-ca", InternalCaArgs(), opts=self._own)) if args.tls else None
        self.ca_pem = self._ca.ca_pem if self._ca else None
        self.address = f"{engine.bind_address}:{args.host_port}"
        self.credential = f"{SECRETS}/{name}-secrets/{_CREDENTIAL}"
        self.volume = f"{name}-data" if args.persistence == "aof" else None
        self._folder = f"{_ROOT}/{name}"
        folder = Directory(
            f"{name}-folder",
            host=engine.host,
            path=self._folder,
            make_parents=True,
            opts=self._own,
        )
        # The user comes before its credential: the agent creates a new user with the old credential.
        self._ops, password = self._user(_OPS, render.OPS_RULES, keeper=True, after=(folder,))
        secrets = SecretFiles(
            f"{name}-secrets",
            {
                _CREDENTIAL: pulumi.Output.concat(self._ops.user, " ", password, "\n"),
                **self._certificate(),
            },
            owner=args.user,
            host=engine.host,
            opts=ResourceOptions(parent=self, depends_on=[self._ops]),
        )
        config = File(
            f"{name}-config",
            host=engine.host,
            path=f"{self._folder}/{render.CONFIG}",
            content=self._config(),
            opts=ResourceOptions(parent=self, depends_on=[folder]),
        )
        before: list[pulumi.Resource] = [config, *([self._overcommit()] if overcommit else [])]
        self.container = PrivateContainer(
            name,
            PrivateContainerArgs(
                image=image,
                command=("redis-server", f"{render.FOLDER}/{render.CONFIG}"),
                health_command=render.health_command(tls=args.tls),
                port=render.PORT,
                host_port=args.host_port,
                shared=True,
                bridge=bridge,
                user=args.user,
                memory=args.memory,
                nofile=args.nofile,
                # We mount the folder and not its files: an update replaces the files.
                binds={self._folder: render.FOLDER},
                volumes={self.volume: render.DATA} if self.volume else {},
                protect_volumes=args.protect,
                # Otherwise the image would create an unnamed volume at every start.
                tmpfs={} if self.volume else {render.DATA: 1},
                # Redis writes the rest of its log when it ends.
                stop_grace=30,
                # Much data takes long to read, and after a kill the server repairs its files first.
                healthy_within=300,
            ),
            engine=engine,
            secrets=secrets,
            refresh={
                "config": config.revision,
                # Redis reads a certificate only when it starts.
                **({"certificate": secrets.revisions["server.crt"]} if args.tls else {}),
            },
            opts=ResourceOptions(parent=self, depends_on=before),
        )
        self.register_outputs({"address": self.address, "volume": self.volume})

    def uses(self, app: str) -> StoreUse:
        """Declare a user for an app, and return what the app needs to use the server.

        Args:
            app: the app's name. The user's name is `APP-GENERATION`.
        """
        user, password = self._user(app, render.APP_RULES, after=(self._ops,))
        scheme = "rediss" if self._args.tls else "redis"
        url = pulumi.Output.concat(f"{scheme}://", user.user, ":", password, f"@{self._name}:{render.PORT}/0")
        return StoreUse(
            server=self.container,
            files={
                "redis_url": pulumi.Output.secret(url),
                "redis_user": user.user,
                "redis_password": password,
                **({"redis_ca.crt": self.ca_pem} if self.ca_pem else {}),
            },
            depends_on=(user, self.container),
        )

    def _user(
        self, of: str, rules: str, *, keeper: bool = False, after: tuple[pulumi.Resource, ...]
    ) -> tuple[RedisUser, pulumi.Output[str]]:
        args, name = self._args, f"{self._name}-user-{of.lstrip('_')}"
        secret = GeneratedSecret(f"{name}-password", rotate=args.rotate, opts=self._own)
        user = RedisUser(
            name,
            host=self._engine.host,
            acl=f"{self._folder}/{render.ACL}",
            address=self.address,
            container=self._name,
            ops=self.credential,
            ca=f"{SECRETS}/{self._name}-secrets/ca.crt" if args.tls else None,
            # Plugins answer with floating-point numbers, and in `make plan` the generation is unknown.
            user=secret.generation.apply(lambda generation: f"{of}-{int(generation or 1)}"),
            password=secret.value,
            rules=rules,
            gid=args.user.partition(":")[2],
            keeper=keeper,
            # The agent reaches the server through Docker, so a destroy removes the user before the engine.
            opts=ResourceOptions(parent=self, depends_on=[self._engine, *after]),
        )
        return user, secret.value

    def _config(self) -> str:
        args = self._args
        eviction = args.eviction or ("noeviction" if args.persistence == "aof" else "allkeys-lru")
        limits = render.Limits(args.memory, eviction, args.persistence)
        return render.redis_conf(f"{self._name}-config", limits, tls=args.tls)

    def _certificate(self) -> dict[str, pulumi.Output[str]]:
        """Return the files for TLS.

        Apps connect by name, the agent by the bind address, and the health check by loopback.
        """
        if self._ca is None:
            return {}
        addresses = [self._engine.bind_address, "127.0.0.1"]
        certificate, key = self._ca.server(self._name, [self._name, "localhost"], addresses)
        return {"server.crt": certificate, "server.key": key, "ca.crt": self._ca.ca_pem}

    def _overcommit(self) -> Sysctl:
        own = f"{self._name}-overcommit"
        values = {"vm.overcommit_memory": "1"}
        return Sysctl(
            own,
            host=self._engine.host,
            path=f"/etc/sysctl.d/98-portcullis-{self._name}.conf",
            values=values,
            content=render.overcommit_conf(own, values),
            opts=self._own,
        )
