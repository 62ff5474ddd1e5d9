"""MongoDB: private, with authentication always on, and a user of least privilege for each database."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import pulumi
import pulumi_docker as docker  # noqa: TC002 - Pulumi evaluates the annotations of a component
from pulumi import ResourceOptions

from portcullis.components.containers.args import Cpus
from portcullis.components.containers.component import SECRETS, PrivateContainer, PrivateContainerArgs
from portcullis.components.containers.resource.cpu import Cpu
from portcullis.components.firewall.args import Interface
from portcullis.components.mongodb.args import DatabaseName, Memory
from portcullis.components.mongodb.resource.mongo_root import MongoRoot
from portcullis.components.mongodb.resource.mongo_user import MongoUser
from portcullis.components.secrets.component import SecretFiles, SecretFilesArgs
from portcullis.components.secrets.resource import GeneratedSecret
from portcullis.components.stores.args import Rotate
from portcullis.components.stores.store_use import StoreUse
from portcullis.config.arguments import validate
from portcullis.config.forms import Alias, PinnedImage, Port
from portcullis.config.kinds import ListOf

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from portcullis.components.docker.component import DockerEngine
    from portcullis.components.mongodb.args import DatabaseArgs

PORT = 27017
REPLICA_SET = "rs0"
_ROOT, _OWNER = "root", "999:999"  # of the official image
# A thread each, which the limit of processes counts.
_CONNECTIONS, _THREADS = 800, 1024

# What the kernel says of listening sockets: 0A is LISTEN, 6989 is port 27017, zeros are every address. The
# server of the first start listens on 127.0.0.1 alone: it does not count. Not mongosh: it takes a second of
# CPU and 100 MB each time. Not a hello over bash's /dev/tcp: an image may lack bash, and TLS would be in the
# way. That the server lets in who it should, and nobody else, is MongoRoot's to prove.
LISTENS = "^ *[0-9]+: (0{8}|0{32}):6989 (0{8}|0{32}):0000 0A "
HEALTH = ("CMD-SHELL", f"grep -Eqs '{LISTENS}' /proc/net/tcp /proc/net/tcp6")


class Authority(Protocol):
    """Who makes the server's certificate: InternalCa, or anything like it."""

    ca_pem: pulumi.Output[str]

    def server(
        self, name: str, dns_names: Sequence[str], ip_addresses: Sequence[str] = ()
    ) -> tuple[pulumi.Output[str], pulumi.Output[str]]:
        """Return certificate and key of a server, as PEM."""


@dataclass(frozen=True, slots=True)
class MongoDBArgs:
    """What a MongoDB store needs to know.

    Attributes:
        host: alias of the host.
        engine: the Docker engine that runs it.
        image: name and digest: the official image of version 5 or later, or one with its entry point.
        databases: by name; each gets a user that may read and write it, and nothing else.
        memory: limit in MB.
        cpus: limit as a decimal number.
        host_port: the port on docker0's address, for tunnels and for the host itself.
        rotate: a word; another one gives the administrator another password.
        replica_set: run as a replica set of one member, for change streams and transactions.
        ca: the authority of its certificate; with it all connections are TLS.
        protect: refuse every deployment that would let go of the data volume.
        former_password: the administrator's password on a volume that is there already, from elsewhere.
        avx: ask for AVX in the CPU before the first start, without which MongoDB 5 and later do not run.
        bridge: name of the network's interface, for rules of the forward filter that speak of it.
        after: what has to be there first.
        adopt: take over files that are there and differ, and drop users that are not declared.

    Raises:
        ValueError: naming every attribute that cannot be used.
    """

    host: str
    engine: DockerEngine
    image: str
    databases: Mapping[str, DatabaseArgs]
    memory: int = 1024
    cpus: str = "1"
    host_port: int = PORT
    rotate: str | None = None
    replica_set: bool = False
    ca: Authority | None = None
    protect: bool = False
    former_password: pulumi.Input[str] | None = None
    avx: bool = True
    bridge: str | None = None
    after: Sequence[pulumi.Resource] = field(default_factory=tuple)
    adopt: bool = False

    def __post_init__(self) -> None:
        """Check what would otherwise fail on the host."""
        validate(
            self,
            {
                "host": Alias,
                "image": PinnedImage,
                "databases": ListOf[DatabaseName],
                "memory": Memory,
                "cpus": Cpus,
                "host_port": Port,
                "rotate": Rotate,
                "bridge": Interface,
            },
        )


class MongoDB(pulumi.ComponentResource):
    """A MongoDB server in a container of its own, reached by nobody but the apps that use it and the host.

    Every password is generated. The administrator's is for administration and backups alone; an app gets a
    user of its own database. Users are named by the generation of their password, `shop-1`: a rotation makes
    `shop-2`, lets the app move, and drops `shop-1` at the end of the same `up`. The data volume, `NAME-data`,
    outlives container and stack.

    Attributes:
        address: `address:port` at which the host reaches it, and so do tunnels.
        network: its shared network, which the apps join that use it.
        volume: the Docker volume with the data.
        secrets: its secret files; `root-password` is the administrator's.
        root_file: path of that file on the host.
        ca_file: path of the certificate to trust on the host, or None without TLS.
        root_password: the administrator's password.
        ready: what has to be there before a store can be used or dumped.
    """

    address: str
    network: docker.Network
    volume: str
    secrets: SecretFiles
    root_file: str
    ca_file: str | None
    root_password: pulumi.Output[str]
    ready: list[pulumi.Resource]

    def __init__(self, name: str, args: MongoDBArgs, opts: ResourceOptions | None = None) -> None:
        """Declare the store; container and network are called `name`, its host name for apps too."""
        super().__init__("portcullis:index:MongoDB", name, None, opts)
        self._name, self._args = name, args
        own = ResourceOptions(parent=self)
        root = GeneratedSecret(f"{name}-root-secret", rotate=args.rotate, opts=own)
        self.root_password = root.value
        self.secrets = self._secret_files(root)
        self.root_file = f"{self.secrets.path}/root-password"
        self.ca_file = f"{self.secrets.path}/ca.pem" if args.ca else None
        self.volume = f"{name}-data"
        container = self._container()
        self.network = container.shared
        self.address = f"{args.engine.bind_address}:{args.host_port}"
        self._root = MongoRoot(
            f"{name}-root",
            host=args.host,
            store=name,
            address=self.address,
            password=root.value,
            previous=_first(root.previous, args.former_password),
            root_file=self.root_file,
            ca=self.ca_file,
            volume=self.volume,
            # By the name that apps use: clients are told to go on with that one.
            replica_set=f"{REPLICA_SET}/{name}:{PORT}" if args.replica_set else None,
            adopt=args.adopt,
            opts=ResourceOptions(parent=self, depends_on=[*container.ready, *self.secrets.ready]),
        )
        self._users = self._database_users()
        self.ready = [self._root, *(user for _, user in self._users.values())]
        self.register_outputs({"address": self.address, "databases": sorted(args.databases)})

    def uses(self, database: str) -> StoreUse:
        """Return what an app needs to use a database: a connection string as a file, and what goes with it.

        Raises:
            ValueError: there is no such database.
        """
        if database not in self._users:
            raise ValueError(f"MongoDB {self._name} has no database {database!r}, only {sorted(self._users)}")
        secret, user = self._users[database]
        files: dict[str, pulumi.Output[str]] = {
            f"mongo_{database}_url": pulumi.Output.secret(
                pulumi.Output.concat(
                    "mongodb://", user.user, ":", secret.value, "@", self._name, f":{PORT}/{database}?",
                    "&".join(self._options(database)),
                )
            ),
            f"mongo_{database}_password": secret.value,
        }  # fmt: skip
        if self._args.ca:
            files["mongo_ca.pem"] = self._args.ca.ca_pem
        return StoreUse(networks=(self.network,), files=files, ready=(user,))

    def _options(self, database: str) -> list[str]:
        """Return the options of a connection string. A write is acknowledged once it is in the journal."""
        members = f"replicaSet={REPLICA_SET}" if self._args.replica_set else "directConnection=true"
        tls = ["tls=true", f"tlsCAFile={SECRETS}/mongo_ca.pem"] if self._args.ca else []
        login = ["authMechanism=SCRAM-SHA-256", f"authSource={database}"]
        return [*login, members, "w=majority", "journal=true", *tls]

    def _secret_files(self, root: GeneratedSecret) -> SecretFiles:
        args, name = self._args, self._name
        files: dict[str, pulumi.Input[str]] = {"root-password": root.value}
        if args.replica_set:
            # Members know each other by it; a set of one member needs it too, to ask for passwords.
            key = GeneratedSecret(f"{name}-keyfile", length=128, opts=ResourceOptions(parent=self))
            files["keyfile"] = key.value
        if args.ca:
            certificate, key_pem = args.ca.server(name, [name, "localhost"], [args.engine.bind_address])
            files["server.pem"] = pulumi.Output.concat(certificate, key_pem)
            files["ca.pem"] = args.ca.ca_pem
        return SecretFiles(
            name,
            SecretFilesArgs(host=args.host, owner=_OWNER, files=files, adopt=args.adopt),
            ResourceOptions(parent=self),
        )

    def _container(self) -> PrivateContainer:
        args, name = self._args, self._name
        before = [*args.after]
        if args.avx:
            cpu = Cpu(
                f"{name}-cpu",
                host=args.host,
                program=name,
                features=["avx"],
                reason="MongoDB 5 and later do not start without it",
                hint="choose a CPU type with AVX at the provider (virtual ones: `host`, not `kvm64`), or run "
                "another server and set avx to false",
                opts=ResourceOptions(parent=self),
            )
            before.append(cpu)
        return PrivateContainer(
            name,
            PrivateContainerArgs(
                engine=args.engine,
                image=args.image,
                # Whether the variables are there or not, which alone make the image's entry point add it.
                command=(
                    "mongod",
                    "--auth",
                    "--bind_ip_all",
                    "--maxConns",
                    str(_CONNECTIONS),
                    *self._flags(),
                ),
                env={
                    "MONGO_INITDB_ROOT_USERNAME": _ROOT,
                    "MONGO_INITDB_ROOT_PASSWORD_FILE": f"{SECRETS}/root-password",
                },
                health=HEALTH,
                port=PORT,
                host_port=args.host_port,
                shared=True,
                user=_OWNER,
                memory=args.memory,
                cpus=args.cpus,
                pids=_THREADS,
                bridge=args.bridge,
                secrets=self.secrets,
                volumes={self.volume: "/data/db"},
                protect_volumes=args.protect,
                # The image declares a volume there, for servers of another kind: each start would leave one.
                tmpfs={"/tmp": 64, "/data/configdb": 1},  # noqa: S108 - inside a container
                # It writes out its cache before it ends.
                stop_grace=60,
                # Much data takes long to read, and a server that was killed mends its files first.
                healthy_within=300,
                after=tuple(before),
                # Read at its start only.
                refresh={"certificate": self.secrets.revisions["server.pem"]} if args.ca else {},
            ),
            ResourceOptions(parent=self),
        )

    def _flags(self) -> list[str]:
        flags = []
        if self._args.replica_set:
            flags += ["--replSet", REPLICA_SET, "--keyFile", f"{SECRETS}/keyfile"]
        if self._args.ca:
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
        # For reading back that they work, on the host alone: the container does not get them.
        files = SecretFiles(
            f"{name}-users",
            SecretFilesArgs(
                host=args.host,
                owner=_OWNER,
                files={database: secret.value for database, secret in secrets.items()},
                adopt=args.adopt,
            ),
            own,
        )
        return {
            database: (
                secret,
                MongoUser(
                    f"{name}-{database}",
                    host=args.host,
                    store=name,
                    address=self.address,
                    root_file=self.root_file,
                    ca=self.ca_file,
                    database=database,
                    user=pulumi.Output.concat(database, "-", secret.generation.apply(_whole)),
                    password=secret.value,
                    password_file=f"{files.path}/{database}",
                    adopt=args.adopt,
                    opts=ResourceOptions(parent=self, depends_on=[self._root, *files.ready]),
                ),
            )
            for database, secret in secrets.items()
        }


def _first(previous: pulumi.Output[str], former: pulumi.Input[str] | None) -> pulumi.Output[str]:
    """Return the password of before: from elsewhere as long as there was no rotation."""
    if former is None:
        return previous
    return pulumi.Output.secret(
        pulumi.Output.all(previous, former).apply(lambda known: str(known[0] or known[1]))
    )


def _whole(number: float) -> str:
    """Return a number as text; the engine has no whole ones."""
    return str(int(number))
