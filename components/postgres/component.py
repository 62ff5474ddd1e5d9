"""PostgreSQL: a private server with databases, and a user of its own for each app."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pulumi
from pulumi import ResourceOptions

from portcullis.components.certificates.args import InternalCaArgs
from portcullis.components.certificates.component.internal_ca import InternalCa
from portcullis.components.containers.args import SECRETS, PrivateContainerArgs
from portcullis.components.containers.component import PrivateContainer
from portcullis.components.containers.images import pinned
from portcullis.components.postgres import render
from portcullis.components.secrets.component import SecretFiles
from portcullis.components.secrets.resource import GeneratedSecret
from portcullis.components.stores.resource.store_server import StoreServer
from portcullis.components.stores.resource.store_user import StoreUser
from portcullis.components.stores.store_use import StoreUse
from portcullis.resources import Directory, File

if TYPE_CHECKING:
    from portcullis.components.docker.component import AnyDockerEngine
    from portcullis.components.postgres.args import PostgreSQLArgs

_DIALECT: Final = "postgres"


class PostgreSQL(pulumi.ComponentResource):
    """A PostgreSQL server in its own container. Only the host and the apps that use it can reach it.

    No administrator can log in over the network: the container's own user is the administrator, inside the
    container. Each app has a user for each database that it uses, with a generated password. All users of a
    database own everything in it together. The name of a user has the generation of its password, such as
    `api.shop-1`. A rotation creates `api.shop-2`, lets the app change to it, and removes `api.shop-1` at the
    end of the same `up`. The data volume, `NAME-data`, survives the container and the stack.

    Attributes:
        container: the private container.
        address: `address:port` where the host and its tunnels reach the server.
        volume: the Docker volume with the data.
        server: the server's databases, and its undeclared users.
        ca_pem: the certificate of the authority that clients must trust, or None without TLS.

    Example:
        ```python
        from portcullis.components import (
            ExistingDockerEngine,
            PostgresDatabaseArgs,
            PostgreSQL,
            PostgreSQLArgs,
        )
        from portcullis.host import Connection, Host, write_ssh_config

        HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq"
        POSTGRES = "postgres:17@sha256:8a7b6c5d4e3f201112233445566778899aabbccddeeff00112233445566778a9"

        write_ssh_config({"web1": Connection("203.0.113.10", host_key=HOST_KEY)})
        # An engine that the host already has. A DockerEngine works as well.
        engine = ExistingDockerEngine("web1-docker", host=Host("web1"))
        args = PostgreSQLArgs(image=POSTGRES, databases={"shop": PostgresDatabaseArgs()})
        postgres = PostgreSQL("postgres", args, engine=engine)
        use = postgres.uses("api", "shop")  # give it to the app: PrivateContainer("api", …, uses=[use])
        ```
    """

    container: PrivateContainer
    address: str
    volume: str
    server: StoreServer
    ca_pem: pulumi.Output[str] | None

    def __init__(
        self,
        name: str,
        args: PostgreSQLArgs,
        *,
        engine: AnyDockerEngine,
        ca: InternalCa | None = None,
        bridge: str | None = None,
        opts: ResourceOptions | None = None,
    ) -> None:
        """Declare the store.

        Args:
            name: the name that apps use. Component, container and network have it too.
            args: settings of the store. If the image is named by tag, its registry is asked for the digest.
            engine: the engine that runs it: a `DockerEngine`, or an `ExistingDockerEngine`. With `adopt` of
                its host, `up` takes over files that differ and removes undeclared users.
            ca: the authority that signs its certificate for TLS. By default the component makes its own.
            bridge: name of the network's interface, for rules of the forward filter.
            opts: options of the component.

        Raises:
            ArgumentsError: a registry does not give the image's digest.
        """
        self._image = pinned(args.image, "PostgreSQLArgs.image")
        super().__init__("portcullis:index:PostgreSQL", name, None, opts)
        self._name, self._args, self._engine = name, args, engine
        self._own = ResourceOptions(parent=self)
        self._ca = (ca or InternalCa(f"{name}-ca", InternalCaArgs(), opts=self._own)) if args.tls else None
        self.ca_pem = self._ca.ca_pem if self._ca else None
        self.address = f"{engine.bind_address}:{args.host_port}"
        self.volume = f"{name}-data"
        self._folder = f"/etc/portcullis/postgres/{name}"
        files = self._files()
        self.container = self._container(bridge, files)
        self.server = StoreServer(
            f"{name}-server",
            host=engine.host,
            store=name,
            dialect=_DIALECT,
            databases=sorted(args.databases),
            config=pulumi.Output.all(*(file.revision for file in files)).apply("-".join),
            opts=ResourceOptions(parent=self, depends_on=[self.container]),
        )
        self._uses: dict[tuple[str, str], StoreUse] = {}
        self.register_outputs({"address": self.address, "databases": sorted(args.databases)})

    def uses(self, app: str, database: str) -> StoreUse:
        """Declare a user for an app, and return what the app needs to use a database.

        Args:
            app: the app's name. The user's name is `APP.DATABASE-GENERATION`.
            database: the database.

        Raises:
            ValueError: there is no such database.
        """
        if database not in self._args.databases:
            known = sorted(self._args.databases)
            raise ValueError(f"the PostgreSQL store {self._name} has no database {database!r}, only {known}")
        if (app, database) not in self._uses:
            self._uses[app, database] = self._use(app, database)
        return self._uses[app, database]

    def _use(self, app: str, database: str) -> StoreUse:
        name = f"{self._name}-{database}-{app}"
        secret = GeneratedSecret(
            f"{name}-password", rotate=self._args.databases[database].rotate, opts=self._own
        )
        user = StoreUser(
            name,
            host=self._engine.host,
            store=self._name,
            dialect=_DIALECT,
            # Plugins answer with floating-point numbers, and in `make plan` the generation is unknown.
            user=secret.generation.apply(lambda generation: f"{app}.{database}-{int(generation or 1)}"),
            database=database,
            password=secret.value,
            opts=ResourceOptions(parent=self, depends_on=[self.server]),
        )
        tls = f"verify-full&sslrootcert={SECRETS}/{self._name}_ca.crt" if self._ca else "disable"
        place = f"@{self._name}:{render.PORT}/{database}?sslmode={tls}"
        url = pulumi.Output.concat("postgresql://", user.user, ":", secret.value, place)
        login = f"{self._name}_{database}"
        return StoreUse(
            server=self.container,
            files={
                f"{login}_url": pulumi.Output.secret(url),
                f"{login}_user": user.user,
                f"{login}_password": secret.value,
                **({f"{self._name}_ca.crt": self.ca_pem} if self.ca_pem else {}),
            },
            depends_on=(user,),
        )

    def _files(self) -> list[File]:
        folder = Directory(
            f"{self._name}-folder",
            host=self._engine.host,
            path=self._folder,
            make_parents=True,
            opts=self._own,
        )
        own = f"{self._name}-hba", f"{self._name}-ident"
        texts = {
            "pg_hba.conf": (own[0], render.hba(own[0], self._args.databases, tls=self._args.tls)),
            "pg_ident.conf": (own[1], render.ident(own[1], self._args.databases)),
        }
        return [
            File(
                resource,
                host=self._engine.host,
                path=f"{self._folder}/{file}",
                content=text,
                opts=ResourceOptions(parent=self, depends_on=[folder]),
            )
            for file, (resource, text) in texts.items()
        ]

    def _container(self, bridge: str | None, files: list[File]) -> PrivateContainer:
        args, name = self._args, self._name
        secrets = self._secrets()
        return PrivateContainer(
            name,
            PrivateContainerArgs(
                image=self._image,
                command=render.command(memory=args.memory, tls=args.tls),
                env={
                    "PGDATA": render.DATA,
                    "POSTGRES_PASSWORD_FILE": f"{SECRETS}/first-password",
                    "POSTGRES_INITDB_ARGS": "--data-checksums",
                },
                health_command=render.HEALTH,
                port=render.PORT,
                host_port=args.host_port,
                hostname=name,
                bridge=bridge,
                user=args.user,
                memory=args.memory,
                nofile=args.nofile,
                cpus=args.cpus,
                # Each connection needs a process, and the server has about ten of its own.
                pids=2 * render.CONNECTIONS,
                # We mount the folder and not its files: an update replaces the files.
                binds={self._folder: render.FOLDER},
                volumes={self.volume: render.VOLUME},
                protect_volumes=args.protect,
                tmpfs={
                    render.SOCKET: 1,
                    # Otherwise an image before version 18 would create an unnamed volume at every start.
                    f"{render.VOLUME}/data": 1,
                },
                # The server writes its buffers to the disk before it ends.
                stop_grace=60,
                # After a kill the server repairs its files first.
                healthy_within=300,
            ),
            engine=self._engine,
            secrets=secrets,
            # The server would read a new certificate without a restart, but only if somebody tells it to.
            refresh={"certificate": secrets.revisions["server.crt"]} if args.tls else {},
            opts=ResourceOptions(parent=self, depends_on=files),
        )

    def _secrets(self) -> SecretFiles:
        # The image wants a password for the administrator at the first start. pg_hba.conf never takes it.
        first = GeneratedSecret(f"{self._name}-first-password", opts=self._own)
        files: dict[str, pulumi.Input[str]] = {"first-password": first.value}
        if self._ca:
            # Apps connect by name, and people through a tunnel to localhost.
            names, addresses = [self._name, "localhost"], [self._engine.bind_address, "127.0.0.1"]
            files["server.crt"], files["server.key"] = self._ca.server(self._name, names, addresses)
        return SecretFiles(
            f"{self._name}-secrets",
            files,
            owner=self._args.user,
            host=self._engine.host,
            opts=self._own,
        )
