"""MongoDB: a private server with authentication always on, and a user for each database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
from pulumi import ResourceOptions

from portcullis.components.certificates.args import InternalCaArgs
from portcullis.components.certificates.component.internal_ca import InternalCa
from portcullis.components.containers.args import SECRETS, PrivateContainerArgs
from portcullis.components.containers.component import PrivateContainer
from portcullis.components.containers.images import pinned
from portcullis.components.mongodb.resource.mongo_root import MongoRoot
from portcullis.components.mongodb.resource.mongo_user import MongoUser
from portcullis.components.secrets.component import SecretFiles
from portcullis.components.secrets.resource import GeneratedSecret
from portcullis.components.stores.render import listens
from portcullis.components.stores.store_use import StoreUse
from portcullis.config.secret import Secret

if TYPE_CHECKING:
    from portcullis.components.docker.component import AnyDockerEngine
    from portcullis.components.mongodb.args import MongoDBArgs

PORT = 27017
REPLICA_SET = "rs0"
_ROOT, _OWNER = "root", "999:999"  # of the official image
# Each connection needs a thread, and the container's limit of processes counts threads.
_CONNECTIONS, _THREADS = 800, 1024
_COMPRESSORS = ("snappy", "zstd")
# Stores of older versions have `--maxConns` and `800` in these two places of the command. They keep these
# words until something else replaces the container. Pulumi cannot ignore a word that makes a list longer.
_KEPT = ("command[3]", "command[4]")

# We do not call mongosh, which takes a second of CPU and 100 MB each time. We do not send a hello over bash's
# /dev/tcp: an image may lack bash, and the hello would fail with TLS. MongoRoot checks that only the right
# users can log in.
HEALTH = ("grep", "-Eqs", listens(PORT), "/proc/net/tcp", "/proc/net/tcp6")


class MongoDB(pulumi.ComponentResource):
    """A MongoDB server in its own container. Only the host and the apps that use it can reach it.

    Every password is generated. The administrator's password is for administration and backups only. An app
    gets a user of its own database. The name of a user has the generation of its password, such as `shop-1`.
    A rotation creates `shop-2`, lets the app change to it, and drops `shop-1` at the end of the same `up`.
    The data volume, `NAME-data`, survives the container and the stack.

    Attributes:
        container: the private container.
        address: `address:port` where the host and its tunnels reach the server.
        volume: the Docker volume with the data.
        secrets: its secret files. `root-password` is the administrator's password.
        root_file: path of that file on the host.
        ca_file: path on the host of the certificate to trust, or None without TLS.
        root_password: the administrator's password.
        ca_pem: the certificate of the authority that clients must trust, or None without TLS.

    Example:
        ```python
        from portcullis.components import DatabaseArgs, ExistingDockerEngine, MongoDB, MongoDBArgs
        from portcullis.host import Connection, Host, write_ssh_config

        HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq"
        MONGO = "mongo:8@sha256:8a7b6c5d4e3f201112233445566778899aabbccddeeff00112233445566778a9"

        write_ssh_config({"web1": Connection("203.0.113.10", host_key=HOST_KEY)})
        # An engine that the host already has. A DockerEngine works as well.
        engine = ExistingDockerEngine("web1-docker", host=Host("web1"))
        args = MongoDBArgs(image=MONGO, databases={"shop": DatabaseArgs()})
        mongo = MongoDB("mongo", args, engine=engine)
        use = mongo.uses("shop")  # give it to the app: PrivateContainer("api", …, uses=[use])
        ```
    """

    container: PrivateContainer
    address: str
    volume: str
    secrets: SecretFiles
    root_file: str
    ca_file: str | None
    root_password: pulumi.Output[str]
    ca_pem: pulumi.Output[str] | None

    def __init__(
        self,
        name: str,
        args: MongoDBArgs,
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
                its host, `up` takes over files that differ and drops undeclared users.
            ca: the authority that signs its certificate for TLS. By default the component makes its own.
            bridge: name of the network's interface, for rules of the forward filter.
            opts: options of the component.

        Raises:
            ArgumentsError: a registry does not give the image's digest.
        """
        self._image = pinned(args.image, "MongoDBArgs.image")
        super().__init__("portcullis:index:MongoDB", name, None, opts)
        self._name, self._args, self._engine = name, args, engine
        own = ResourceOptions(parent=self)
        self._ca = (ca or InternalCa(f"{name}-ca", InternalCaArgs(), opts=own)) if args.tls else None
        self.ca_pem = self._ca.ca_pem if self._ca else None
        root = GeneratedSecret(f"{name}-root-secret", rotate=args.rotate, opts=own)
        self.root_password = root.value
        self.secrets = self._secret_files(root)
        self.root_file = f"{self.secrets.path}/root-password"
        self.ca_file = f"{self.secrets.path}/ca.pem" if args.tls else None
        self.volume = f"{name}-data"
        self.container = self._container(bridge)
        self.address = f"{engine.bind_address}:{args.host_port}"
        self._root = MongoRoot(
            f"{name}-root",
            host=engine.host,
            store=name,
            address=self.address,
            password=root.value,
            previous=_first(root.previous, args.former_password),
            root_file=self.root_file,
            ca=self.ca_file,
            volume=self.volume,
            # The name that apps use: a replica set tells its clients to continue with this name.
            replica_set=f"{REPLICA_SET}/{name}:{PORT}" if args.replica_set else None,
            opts=ResourceOptions(parent=self, depends_on=[self.container, self.secrets]),
        )
        self._users = self._database_users()
        self.register_outputs({"address": self.address, "databases": sorted(args.databases)})

    def uses(self, database: str) -> StoreUse:
        """Return what an app needs to use a database: networks, a file with the connection string, and more.

        Raises:
            ValueError: there is no such database.
        """
        if database not in self._users:
            raise ValueError(
                f"the MongoDB store {self._name} has no database {database!r}, only {sorted(self._users)}"
            )
        secret, user = self._users[database]
        files: dict[str, pulumi.Output[str]] = {
            f"mongo_{database}_url": pulumi.Output.secret(
                pulumi.Output.concat(
                    "mongodb://", user.user, ":", secret.value, "@", self._name, f":{PORT}/{database}?",
                    "&".join(self._options(database)),
                )
            ),
            f"mongo_{database}_user": user.user,
            f"mongo_{database}_password": secret.value,
        }  # fmt: skip
        if self.ca_pem:
            files["mongo_ca.pem"] = self.ca_pem
        return StoreUse(server=self.container, files=files, depends_on=(user,))

    def _options(self, database: str) -> list[str]:
        """Return the options of a connection string. The server confirms a write when the journal has it."""
        members = f"replicaSet={REPLICA_SET}" if self._args.replica_set else "directConnection=true"
        tls = ["tls=true", f"tlsCAFile={SECRETS}/mongo_ca.pem"] if self._args.tls else []
        login = ["authMechanism=SCRAM-SHA-256", f"authSource={database}"]
        return [*login, members, "w=majority", "journal=true", *tls]

    def _secret_files(self, root: GeneratedSecret) -> SecretFiles:
        args, name = self._args, self._name
        files: dict[str, pulumi.Input[str]] = {"root-password": root.value}
        if args.replica_set:
            # Members log in to each other with this key. With --auth, even a single member needs it.
            key = GeneratedSecret(f"{name}-keyfile", length=128, opts=ResourceOptions(parent=self))
            files["keyfile"] = key.value
        if self._ca:
            certificate, key_pem = self._ca.server(name, [name, "localhost"], [self._engine.bind_address])
            files["server.pem"] = pulumi.Output.concat(certificate, key_pem)
            files["ca.pem"] = self._ca.ca_pem
        return SecretFiles(
            name, files, owner=_OWNER, host=self._engine.host, opts=ResourceOptions(parent=self)
        )

    def _container(self, bridge: str | None) -> PrivateContainer:
        args, name = self._args, self._name
        compressors = _COMPRESSORS if args.compressors is None else args.compressors
        return PrivateContainer(
            name,
            PrivateContainerArgs(
                image=self._image,
                # We pass --auth ourselves: the image's entry point adds it only if both variables are set.
                command=(
                    "mongod",
                    "--auth",
                    "--bind_ip_all",
                    f"--maxConns={_CONNECTIONS}",
                    f"--networkMessageCompressors={','.join(compressors) or 'disabled'}",
                    *self._flags(),
                ),
                env={
                    "MONGO_INITDB_ROOT_USERNAME": _ROOT,
                    "MONGO_INITDB_ROOT_PASSWORD_FILE": f"{SECRETS}/root-password",
                },
                health_command=HEALTH,
                port=PORT,
                host_port=args.host_port,
                shared=True,
                user=_OWNER,
                memory=args.memory,
                nofile=args.nofile,
                cpus=args.cpus,
                pids=_THREADS,
                bridge=bridge,
                volumes={self.volume: "/data/db"},
                protect_volumes=args.protect,
                # The image declares a volume there for another kind of server. Each start would leave one.
                tmpfs={"/tmp": 64, "/data/configdb": 1},  # noqa: S108 - inside a container
                # MongoDB writes its cache to the disk before it ends.
                stop_grace=60,
                # Much data takes long to read, and after a kill the server repairs its files first.
                healthy_within=300,
            ),
            engine=self._engine,
            secrets=self.secrets,
            # The server reads its certificate only at its start.
            refresh={"certificate": self.secrets.revisions["server.pem"]} if args.tls else {},
            keeps=_KEPT if args.compressors is None else (),
            opts=ResourceOptions(parent=self),
        )

    def _flags(self) -> list[str]:
        flags = []
        if self._args.replica_set:
            flags += ["--replSet", REPLICA_SET, "--keyFile", f"{SECRETS}/keyfile"]
        if self._args.tls:
            flags += [
                "--tlsMode", "requireTLS", "--tlsCertificateKeyFile", f"{SECRETS}/server.pem",
                "--tlsCAFile", f"{SECRETS}/ca.pem", "--tlsAllowConnectionsWithoutCertificates",
            ]  # fmt: skip
        return flags

    def _database_users(self) -> dict[str, tuple[GeneratedSecret, MongoUser]]:
        args, name, own = self._args, self._name, ResourceOptions(parent=self)
        secrets = {
            database: GeneratedSecret(f"{name}-{database}-secret", rotate=settings.rotate, opts=own)
            for database, settings in sorted(args.databases.items())
        }
        # The agent checks the logins with these files. The container does not get them.
        files = SecretFiles(
            f"{name}-users",
            {database: secret.value for database, secret in secrets.items()},
            owner=_OWNER,
            host=self._engine.host,
            opts=own,
        )
        return {
            database: (
                secret,
                MongoUser(
                    f"{name}-{database}",
                    host=self._engine.host,
                    store=name,
                    address=self.address,
                    root_file=self.root_file,
                    ca=self.ca_file,
                    database=database,
                    user=pulumi.Output.concat(database, "-", secret.generation.apply(_whole)),
                    password=secret.value,
                    password_file=f"{files.path}/{database}",
                    opts=ResourceOptions(parent=self, depends_on=[self._root, files]),
                ),
            )
            for database, secret in secrets.items()
        }


def _first(previous: pulumi.Output[str], former: Secret | pulumi.Input[str] | None) -> pulumi.Output[str]:
    """Return the previous password. Until the first rotation it is the one from elsewhere."""
    if former is None:
        return previous
    known = pulumi.Output.all(previous, Secret.of(former).output)
    return pulumi.Output.secret(known.apply(lambda found: str(found[0] or found[1])))


def _whole(number: float) -> str:
    """Return a number as text. The engine has floating-point numbers only."""
    return str(int(number))
