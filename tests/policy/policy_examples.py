"""Has minimal stacks for each policy. Some stacks violate the policy, others conform."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from portcullis.components.firewall import metadata
from portcullis.components.firewall.render import forward_filter
from portcullis.policy.model import UNKNOWN, Resource

CONTAINER = "docker:index/container:Container"
IMAGE = "docker:index/remoteImage:RemoteImage"
NETWORK = "docker:index/network:Network"
VOLUME = "docker:index/volume:Volume"
SERVICE = "docker:index/service:Service"
PROVIDER = "pulumi:providers:docker"
REMOTE = "command:remote:Command"
LOCAL = "command:local:Command"
HARDENED = "portcullis:index:HardenedHost"
PRIVATE = "portcullis:index:PrivateContainer"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - policies refuse this address
NOLOGIN = "/usr/sbin/nologin"
DIGEST = "sha256:" + "5f" * 32

_FILES = Path(__file__).parents[1] / "golden/files"
TABLE = _FILES.joinpath("filter.plain.nft").read_text().partition("delete table inet portcullis\n")[2]
SSHD = "Port 22\nPermitRootLogin no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"

HOST_FOLDERS = (
    "/",
    "/run/.",
    "//run",
    "/var/run/../run/docker.sock",
    "/etc",
    "/etc/ssh/",
    "/proc",
    "/proc/1/root",
    "/var/lib",
    "/var/lib/docker/volumes",
)

OPEN_REDIS = (
    ["redis-server", "--requirepass", ""],
    ["redis-server", "--requirepass"],
    ["sh", "-c", "exec redis-server --requirepass ''"],
    ["redis-server", "/etc/redis/redis.conf", "--requirepass", '""'],
    ["redis-server", "/etc/redis/redis.conf", "--aclfile", ""],
    ["redis-server", "/etc/redis/redis.conf", "--protected-mode", "no"],
    ["redis-server", "/etc/redis/redis.conf", "--user", "default on nopass +@all"],
)
HBA = "/var/lib/postgresql/data/pg_hba.conf"
POSTGRES_IMAGES = (
    "postgres:17",
    "docker.io/library/postgres",
    "bitnami/postgresql:17",
    "pgvector/pgvector:pg17",
    "timescale/timescaledb:latest-pg17",
)
OPEN_HBA = (
    "# everybody\nlocal all all peer\nhost all all all trust\n",
    "host\tall\tall\t0.0.0.0/0\ttrust\n",
    "hostssl shop,blog +apps 10.0.0.0 255.0.0.0 trust\n",
    'hostnossl "my shop" "api" samenet trust  # for a while\n',
    "hostgssenc all all ::/0 trust map=apps",
    "hostnogssenc all all all trust",
    "host all all 127.0.0.1/32 trust\n",
)
OPEN_REDIS_CONF = ('requirepass ""\n', "requirepass ''\n", 'aclfile /a\nrequirepass ""\n', 'aclfile ""\n')

OPEN_ENGINE = (
    '{"ip": "0.0.0.0"}',
    '{"ip": "203.0.113.10"}',
    "{}",
    '{"ip": "172.17.0.1", "hosts": ["0.0.0.0:2375"]}',
    '{"ip": "172.17.0.1", "hosts": ["unix:///run/docker.sock", "tcp://127.0.0.1:2375"]}',
    '{"ip": "172.17.0.1", "ip6tables": false}',
)
PASSING = (
    "accept",
    "counter accept",
    'ip saddr 203.0.113.0/24 accept comment "for a while"',
    "return",
    "ip saddr 203.0.113.7 return",
    "jump others",
    "goto others",
    "meta mark 1 queue to 1",
    "ct state vmap @states",
)

Stack = list[Resource]


IN_ENVIRONMENT = [{"label": "portcullis.secret-env", "value": "PASSWORD URL"}]


def of(type_: str, name: str = "thing", /, *, protect: bool = False, **props: Any) -> Resource:
    urn = f"urn:pulumi:test::portcullis::{type_}::{name}"
    return Resource(type_, name, urn, props, protect)


def host(kind: str, name: str = "thing", /, **props: Any) -> Resource:
    return of(f"portcullis:index:{kind}", name, **{"host": "web1", **props})


def user(login_shell: str, keys: Any) -> Resource:
    return of("portcullis:index:User", host="web1", shell=login_shell, keys=keys)


def container(name: str = "api", /, **props: Any) -> Resource:
    """Return a container that conforms, except for the given properties."""
    right = {
        "image": DIGEST,
        "user": "1000",
        "readOnly": True,
        "memory": 256.0,
        "capabilities": {"drops": ["ALL"]},
        "securityOpts": ["no-new-privileges:true"],
        "ports": [{"ip": "172.17.0.1", "internal": 8080.0, "external": 2019.0}],
    }
    given = {**right, **props}
    return of(CONTAINER, name, **{key: value for key, value in given.items() if value is not None})


def ours(**props: Any) -> Resource:
    """Return a container of a `PrivateContainer` whose secretEnv has PASSWORD and URL."""
    made = container(labels=IN_ENVIRONMENT, **props)
    return replace(made, urn=made.urn.replace("::docker:", "::portcullis:index:PrivateContainer$docker:"))


def site(content: str) -> Resource:
    return host("File", "web1-nginx-site", path="/etc/nginx/conf.d/a.example.com.conf", content=content)


def golden_site(name: str) -> Resource:
    return site(_FILES.joinpath(f"nginx.site.{name}.conf").read_text())


def docker(**props: Any) -> Resource:
    return of(PROVIDER, "web1-docker-provider", **{"host": "ssh://web1", **props})


def opened_in_filter(match: str) -> Resource:
    """Return a forward filter that opens a published port for some sources."""
    line = f"\t\tct status dnat meta l4proto tcp ct original proto-dst {match} accept\n"
    table = TABLE.replace('\t\tmeta iifkind "bridge" goto', line + '\t\tmeta iifkind "bridge" goto')
    return host("ForwardFilter", table=table, boot="enabled")


def bind(source: str) -> Resource:
    return container(mounts=[{"type": "bind", "source": source, "target": "/host"}])


def local_volume(**options: str) -> Resource:
    return of(VOLUME, "data", protect=True, driver="local", driverOpts=options)


def first_in(chain: str, line: str) -> Resource:
    """Return a forward filter with an additional first line in its chain."""
    hook = "\t\ttype filter hook forward priority filter - 10; policy accept;\n"
    before = f"\tchain {chain} {{\n" + (hook if chain == "forward" else "")
    assert before in TABLE
    return host("ForwardFilter", table=TABLE.replace(before, f"{before}\t\t{line}\n"), boot="enabled")


def drop_of_the_bind_address_last() -> Resource:
    """Return a forward filter that opens a port before it drops packets to ports of the host only."""
    table = opened_in_filter("443").props["table"]
    own = next(line for line in table.splitlines(keepends=True) if "ct original ip daddr" in line)
    without = table.replace(own, "")
    goto = '\t\tmeta iifkind "bridge" goto'
    return host("ForwardFilter", table=without.replace(goto, own + goto), boot="enabled")


def outside(*names: str) -> Resource:
    """Return a forward filter that treats these interfaces as ways to the outside."""
    policy = forward_filter.ForwardPolicy(outside=["vmbr0"])
    table = forward_filter.table(policy)
    for direction in ("iif", "oif"):
        but = "".join(f' {direction}name != "{name}"' for name in names)
        table = table.replace(f' {direction}name != "vmbr0"', but)
    return host("ForwardFilter", table=table, boot="enabled")


def network(bridge: str) -> Resource:
    return of(NETWORK, name="shop", options={"com.docker.network.bridge.name": bridge})


def tls_server(inside: str) -> Resource:
    return site(f"server {{ listen 443 ssl; server_name a.example.com; {inside} }}")


@dataclass(frozen=True, slots=True)
class Example:
    """Stacks that violate a policy, and stacks that conform."""

    bad: tuple[Stack, ...]
    good: tuple[Stack, ...]


EXAMPLES = {
    "no-public-bind": Example(
        bad=(
            [container(ports=[{"internal": 6379.0, "external": 6379.0}])],
            [container(ports=[{"ip": EVERYWHERE, "internal": 80.0, "external": 80.0}])],
            [container(ports=[{"ip": "::", "internal": 80.0, "external": 80.0}])],
            [container(ports=[{"ip": "203.0.113.10", "internal": 80.0, "external": 80.0}])],
            [container(publishAllPorts=True)],
            [of(SERVICE, endpointSpec={"ports": [{"publishedPort": 80.0, "targetPort": 80.0}]})],
        ),
        good=(
            [container()],
            [container(ports=[{"ip": "127.0.0.1", "internal": 80.0, "external": 80.0}])],
            [container(ports=[{"ip": UNKNOWN, "internal": 80.0, "external": 80.0}])],
            [container(ports=None)],
            [container(ports=UNKNOWN)],
        ),
    ),
    "no-swarm-service": Example(
        bad=([of(SERVICE, name="api", taskSpec={"containerSpec": {"image": f"api@{DIGEST}"}})],),
        good=([container()],),
    ),
    "no-privileged-container": Example(
        bad=(
            [container(privileged=True)],
            [container(securityOpts=["no-new-privileges:true", "seccomp=unconfined"])],
            [container(devices=[{"hostPath": "/dev/kvm"}])],
        ),
        good=([container()], [container(privileged=False)]),
    ),
    "no-docker-socket": Example(
        bad=(
            [container(mounts=[{"type": "bind", "source": "/var/run/docker.sock", "target": "/d"}])],
            [
                container(
                    mounts=[{"type": "bind", "source": "/var/run/", "target": "/host/run", "readOnly": True}]
                )
            ],
            [container(volumes=[{"hostPath": "/run/docker.sock", "containerPath": "/run/docker.sock"}])],
            *[[bind(source)] for source in HOST_FOLDERS],
            *[[local_volume(device=source, o="bind", type="none")] for source in HOST_FOLDERS],
            [local_volume(device="/dev/sda1", type="ext4")],
            [
                container(
                    mounts=[
                        {
                            "type": "volume",
                            "target": "/d",
                            "volumeOptions": {"driverOptions": {"o": "bind", "device": "/var/run"}},
                        }
                    ]
                )
            ],
        ),
        good=(
            [container(mounts=[{"type": "bind", "source": "/etc/portcullis/redis", "target": "/etc/redis"}])],
            [container(mounts=[{"type": "volume", "source": "data", "target": "/run"}])],
            [container(volumes=[{"volumeName": "data", "containerPath": "/data"}])],
            [bind("/srv/shop/"), bind("/etc/ssl/certs"), bind("/etc/localtime"), bind("/run/shop")],
            [local_volume(device="tmpfs", o="size=64m", type="tmpfs"), of(VOLUME, driverOpts=UNKNOWN)],
            [local_volume(device="/srv/shop", o="bind", type="none")],
        ),
    ),
    "no-host-network": Example(
        bad=([container(networkMode="host")], [container(networksAdvanced=[{"name": "host"}])]),
        good=([container(networksAdvanced=[{"name": "api"}])], [container(networkMode="bridge")]),
    ),
    "no-host-namespaces": Example(
        bad=([container(pidMode="host")], [container(ipcMode="host")], [container(usernsMode="host")]),
        good=([container()], [container(ipcMode="private", cgroupnsMode="private")]),
    ),
    "drop-all-capabilities": Example(
        bad=(
            [container(capabilities=None)],
            [container(capabilities={"drops": ["CAP_NET_RAW"]})],
            [container(capabilities={"drops": ["ALL"], "adds": ["CAP_SYS_ADMIN"]})],
        ),
        good=(
            [container()],
            [container(capabilities={"drops": ["CAP_ALL"]})],
            [container(capabilities=UNKNOWN)],
        ),
    ),
    "no-new-privileges": Example(
        bad=(
            [container(securityOpts=None)],
            [container(securityOpts=["no-new-privileges:false"])],
            [container(securityOpts=["no-new-privileges:true", "no-new-privileges:false"])],
            [container(securityOpts=["no-new-privileges=0", "no-new-privileges"])],
        ),
        good=([container()], [container(securityOpts=["no-new-privileges"])]),
    ),
    "read-only-root": Example(
        bad=([container(readOnly=None)], [container(readOnly=False)]),
        good=([container()],),
    ),
    "no-root-user": Example(
        bad=(
            [container(user=None)],
            [container(user="root")],
            [container(user="0:0")],
            [container(user="00")],
            [container(user="1000:00")],
            [container(user="nobody:root")],
        ),
        good=([container()], [container(user="nobody:nogroup")]),
    ),
    "digest-pinned-image": Example(
        bad=(
            [container(image="redis:7")],
            [of(IMAGE, name="ghcr.io/acme/api:1.4")],
            [of(IMAGE, name="ghcr.io/acme/api@sha256:5f")],
        ),
        good=(
            [container(image=f"redis:7@{DIGEST}")],
            [container(image=UNKNOWN)],
            [of(IMAGE, name=f"ghcr.io/acme/api@{DIGEST}")],
        ),
    ),
    "no-leaking-mongodb": Example(
        bad=(
            [container(image=f"mongo:8.0.16@{DIGEST}")],
            [of(IMAGE, name=f"docker.io/library/mongo:7.0.9-jammy@{DIGEST}")],
            [of(IMAGE, name="mongodb/mongodb-community-server:8.2.2-ubi9")],
            [of(IMAGE, name="mongo:4.2.24")],
            [of(IMAGE, name="mongo:8.1.2")],
        ),
        good=(
            [container(image="mongo:8.0.17")],
            [of(IMAGE, name=f"mongo:8.2.10@{DIGEST}")],
            [of(IMAGE, name=f"mongo:8@{DIGEST}")],
            [of(IMAGE, name="mongo:9.0.0")],
            [of(IMAGE, name="mongo-express:1.0.2")],
            [container(image=UNKNOWN)],
        ),
    ),
    "memory-limit": Example(
        bad=([container(memory=None)], [container(memory=0.0)]),
        good=([container()], [container(memory=UNKNOWN)]),
    ),
    "no-secret-in-plain-sight": Example(
        bad=(
            [container(envs=["STRIPE_API_KEY=whatever-it-is"])],
            [container(envs=["VAULT_SECRET_ID=hunter2"])],
            [container(envs=["REDISCLI_AUTH=hunter2"])],
            [container(envs=["SESSION_SECRETS=hunter2"])],
            [container(envs=["ENCRYPTION_KEY=hunter2"])],
            [container(envs=["sessionSigningKey=hunter2"])],
            [container(envs=["DATABASE=mongodb://shop:hunter2@mongo/shop"])],
            [ours(envs=["OTHER_PASSWORD=hunter2"])],
            [container(envs=["PASSWORD=hunter2"], labels=IN_ENVIRONMENT)],
            [container(labels=[{"label": "proxy.password", "value": "hunter2"}])],
            [container(command=["redis-server", "/etc/redis.conf", "--requirepass", "hunter2"])],
            [container(healthcheck={"tests": ["CMD", "redis-cli", "--pass", "hunter2", "ping"]})],
            [of(LOCAL, create="curl -u x: https://x --token=0123456789abcdef")],
            [of(REMOTE, connection={"hostKey": "x"}, create="true", environment={"dbPassword": "hunter2"})],
        ),
        good=(
            [
                container(
                    envs=[
                        "MONGO_INITDB_ROOT_PASSWORD_FILE=/run/secrets/root",
                        "TOKEN_TTL=3600",
                        "SESSION_TOKEN=3600",
                        "ACCESS_TOKEN_LIFETIME=15m",
                        "TOKEN_ISSUER=shop",
                        "TOKEN_AUDIENCE=shop",
                        "TOKEN_HEADER=X-Token",
                        "TOKEN_TYPE=bearer",
                        "PASSWORD_HASH_ALGORITHM=argon2id",
                        "AWS_ACCESS_KEY_ID=AKIA",
                        "ENCRYPTION_KEY_FILE=/run/secrets/key",
                        "BASIC_AUTH=ldap",
                    ]
                )
            ],
            [
                container(
                    envs=["PASSWORD=/run/secrets/password", "LOG_LEVEL=info", "API=https://api.example.com"]
                )
            ],
            [container(labels=[{"label": "portcullis.refresh.secrets", "value": "r1"}])],
            [container(command=["app", "--password", "$PASSWORD", "--token-file", "/run/secrets/token"])],
            [container(envs=UNKNOWN)],
            [ours(envs=["PASSWORD=hunter2"])],
        ),
    ),
    "secret-in-environment": Example(
        bad=([ours(envs=["PASSWORD=hunter2", "URL=x"])],),
        good=(
            [container(envs=["PASSWORD_FILE=/run/secrets/password"])],
            [container(labels=UNKNOWN)],
            [ours(mustRun=False)],
        ),
    ),
    "store-must-authenticate": Example(
        bad=(
            [container("mongo", command=["mongod", "--bind_ip_all"])],
            [container("mongo", ports=[{"ip": "172.17.0.1", "internal": 27017.0, "external": 27017.0}])],
            [container("redis", command=["redis-server", "--save", ""])],
            [container("mongo", command=["sh", "-c", "exec mongod --bind_ip_all"])],
            [container("mongo", mounts=[{"type": "volume", "source": "m", "target": "/data/db"}])],
            [container("db", envs=["POSTGRES_HOST_AUTH_METHOD=trust"])],
            [host("File", path="/etc/portcullis/redis/redis/redis.conf", content="bind *\nport 6379\n")],
            [host("File", path="/etc/redis.conf", content="aclfile /etc/users.acl\nprotected-mode no\n")],
            [container("mongo", command=["mongod", "--keyFile", "/run/secrets/k", "--transitionToAuth"])],
            [container("redis", entrypoints=[""], ports=[{"ip": "172.17.0.1", "internal": 6379.0}])],
            *[[container("redis", command=command)] for command in OPEN_REDIS],
            *[[host("File", path="/etc/redis.conf", content=content)] for content in OPEN_REDIS_CONF],
            [host("File", path="/etc/redis/users.acl", content="user default on nopass ~* &* +@all\n")],
            [host("RedisUser", user="api", rules="~* +@all nopass")],
            [host("MongoRoot", authentication="off")],
            *[
                [container("db", image=image, envs=["POSTGRES_HOST_AUTH_METHOD=trust"])]
                for image in POSTGRES_IMAGES
            ],
            *[[host("File", path=HBA, content=content)] for content in OPEN_HBA],
            [container("db", uploads=[{"file": HBA, "content": OPEN_HBA[0]}])],
            [container("db", command=["sh", "-c", f"echo 'host all all all trust' >> {HBA}; postgres"])],
            [host("StoreServer", store="postgres", dialect="postgres", login="lets everybody in")],
        ),
        good=(
            [container("mongo", command=["mongod", "--auth", "--bind_ip_all"])],
            [container("redis", command=["redis-server", "/etc/redis/redis.conf"])],
            [container("redis", command=["redis-server", "--aclfile", "/etc/users.acl", "--save", ""])],
            [container("redis", command=["sh", "-c", 'redis-server --requirepass "$(cat /run/secrets/p)"'])],
            [host("File", path="/etc/redis/users.acl", content="user default off nopass\nuser api on #0a\n")],
            [host("File", path="/etc/redis/users.acl", content="# on nopass\nuserx on nopass\n")],
            [container("db", image="postgres:17", envs=["POSTGRES_PASSWORD_FILE=/run/secrets/root"])],
            [host("File", path=HBA, content="local all all trust\nhost all all all scram-sha-256\n")],
            [
                host(
                    "File",
                    path=HBA,
                    content="# host all all all trust\nhost trust trust ::/0 md5 map=trust\n",
                )
            ],
            [host("File", path=HBA, content=UNKNOWN)],
            [host("File", path="/etc/hosts.md", content="host all all all trust\n")],
            [container("db", uploads=[{"file": HBA, "content": UNKNOWN}, UNKNOWN])],
            [container("api", command=["app", "--ghost", "a", "b", "c", "trust"])],
            [host("StoreServer", store="postgres", dialect="postgres", login="required")],
            [host("File", path="/etc/other.acl.md", content="user default on nopass\n")],
            [container("mongo", command=["sh", "-c", "exec mongod --auth"])],
            [
                host(
                    "File",
                    path="/etc/portcullis/redis/redis/redis.conf",
                    content="aclfile /etc/redis/users.acl\n",
                )
            ],
            [host("RedisUser", user="api", rules="~* +@all -@admin")],
            [host("MongoRoot", authentication="required")],
        ),
    ),
    "no-open-database-port": Example(
        bad=(
            [host("UfwPolicy", rules={"in 27017/tcp": "allow # from the settings"})],
            [host("UfwPolicy", rules={"in 6000:7000/tcp": "allow"})],
            [host("UfwPolicy", rules={"redis": "limit"})],
            [host("UfwPolicy", rules={"on eth0 443,5432/tcp from any": "allow"})],
            [host("UfwPolicy", rules={"in 6379/tcp from 128.0.0.0/1": "allow"})],
            [host("UfwPolicy", rules={"in 6379/tcp from 2000::/3": "allow"})],
            [opened_in_filter("6379 ip saddr 0.0.0.0/0")],
            [opened_in_filter("6379 ip saddr 0.0.0.0/1")],
            [opened_in_filter("6379 ip6 saddr ::/0")],
            [
                host(
                    "ForwardFilter",
                    table=TABLE.replace(
                        '\t\tmeta iifkind "bridge" goto',
                        "\t\tct status dnat meta l4proto tcp ct original proto-dst 27017 accept\n"
                        '\t\tmeta iifkind "bridge" goto',
                    ),
                    boot="enabled",
                )
            ],
        ),
        good=(
            [host("UfwPolicy", rules={"in 443/tcp": "allow", "in 27017/tcp from 203.0.113.7": "allow"})],
            [host("UfwPolicy", rules={"in 6379/tcp": "deny", "out 27017/tcp": "allow"})],
            [host("UfwPolicy", rules={"in 443/tcp": "allow # 6379", "in 80 from any port 6379": "allow"})],
            [host("UfwPolicy", rules={"in 6379/tcp from 10.0.0.0/8": "allow"})],
            [opened_in_filter("6379 ip saddr 203.0.113.7"), opened_in_filter("6379 ip6 saddr 2001:db8::/32")],
            [host("ForwardFilter", table=TABLE, boot="enabled")],
        ),
    ),
    "data-volume-protected": Example(
        bad=([of(VOLUME, name="redis-data")], [of(VOLUME, name="a"), of(PRIVATE, retained_volumes=["b"])]),
        good=(
            [of(VOLUME, name="redis-data", protect=True)],
            [of(VOLUME, name="redis-data"), of(PRIVATE, retained_volumes=["redis-data"])],
        ),
    ),
    "firewall-denies-by-default": Example(
        bad=(
            [host("UfwPolicy", enabled=False)],
            [host("UfwPolicy", enabled=True, defaults={"incoming": "allow"})],
            [host("UfwPolicy", enabled=True, rules={"in any": "allow"})],
            [host("UfwPolicy", enabled=True, rules={"in (v6)": "allow # for a while"})],
        ),
        good=(
            [host("UfwPolicy", enabled=True, defaults={}, rules={"in 443/tcp": "allow"})],
            [host("UfwPolicy", enabled=True, defaults={"incoming": "deny", "routed": "deny"})],
            [host("UfwPolicy", enabled=True, rules={"in from 203.0.113.7": "allow", "in on wg0": "allow"})],
        ),
    ),
    "host-has-firewall": Example(
        bad=(
            [docker(), host("ForwardFilter"), host("SshServer")],
            [docker(), host("UfwPolicy", host="web2")],
        ),
        good=([docker(), host("UfwPolicy")], [of(PROVIDER, host="unix:///var/run/docker.sock")], []),
    ),
    "filter-closes-dockers-bypass": Example(
        bad=(
            [
                host(
                    "ForwardFilter",
                    table=TABLE.replace("ct status dnat counter drop", "ct status dnat accept"),
                )
            ],
            [host("ForwardFilter", table="table inet portcullis {\n}\n", boot="enabled")],
            *[
                [host("ForwardFilter", table=TABLE.replace(line, other))]
                for service in metadata.closed()
                for line in [metadata.match(service)]
                for other in (line.replace(service.address, "192.0.2.1"), f"{line} th dport != 80")
            ],
            [host("ForwardFilter", table=TABLE.replace("\t\tct state", "\t\taccept\n\t\tct state", 1))],
            [host("ForwardFilter", table=TABLE, boot="disabled")],
            [
                host(
                    "ForwardFilter",
                    table=TABLE.replace("\t\tct state", '\t\toifname "br-mongo" accept\n\t\tct state', 1),
                )
            ],
            *[[first_in(chain, line)] for chain in ("forward", "containers") for line in PASSING],
            [drop_of_the_bind_address_last()],
            [host("ForwardFilter", table=re.sub(r"\t\ttype filter.*\n", "", TABLE))],
            [opened_in_filter("{1-65535}")],
            [outside("docker0")],
            [outside("vmbr0", "br-0123456789ab")],
            [outside("br-*")],
            [outside("br-shop"), network("br-shop")],
        ),
        good=(
            [host("ForwardFilter", table=TABLE, boot="enabled")],
            [host("ForwardFilter", table=_FILES.joinpath("filter.full.nft").read_text(), boot="enabled")],
            [outside("vmbr0", "br-ext"), network("br-shop"), of(NETWORK, options=UNKNOWN)],
        ),
    ),
    "host-has-filter": Example(
        bad=([docker(), host("UfwPolicy"), host("SshServer")],),
        good=([docker(host="ssh://deploy@web1:2222"), host("ForwardFilter")], []),
    ),
    "docker-engine-is-private": Example(
        bad=(
            [host("File", path="/etc/docker/daemon.json", content='{"hosts": ["tcp://0.0.0.0:2375"]}')],
            [host("File", path="/etc/docker/daemon.json", content='{"iptables": false}')],
            [docker(host="tcp://203.0.113.10:2375")],
            [host("File", path="/etc/docker/daemon.json", content="[]")],
            *[[host("File", path="/etc/docker/daemon.json", content=content)] for content in OPEN_ENGINE],
        ),
        good=(
            [host("File", path="/etc/docker/daemon.json", content='{"ip": "172.17.0.1", "iptables": true}')],
            [
                host(
                    "File",
                    path="/etc/docker/daemon.json",
                    content='{"ip": "127.0.0.1", "hosts": ["fd://", "unix:///run/docker.sock"]}',
                )
            ],
            [host("File", path="/etc/docker/daemon.json", content=UNKNOWN)],
            [host("File", path="/etc/other.json", content='{"iptables": false}')],
            [docker()],
        ),
    ),
    "ssh-without-passwords": Example(
        bad=(
            [
                host(
                    "SshServer",
                    content=SSHD.replace("PasswordAuthentication no", "PasswordAuthentication yes"),
                )
            ],
            [host("SshServer", content="Port 22\n")],
            [host("SshServer", content=SSHD.replace("PasswordAuth", "Match User anna\nPasswordAuth"))],
            [host("SshServer", content=SSHD.replace("KbdInteractive", "match user anna\nKbdInteractive"))],
            [host("SshServer", content=SSHD + "AuthenticationMethods publickey password\n")],
            [host("SshServer", content=SSHD + "Match User anna\n    PasswordAuthentication yes\n")],
            [host("File", path="/etc/ssh/sshd_config.d/00-x.conf", content="PasswordAuthentication yes\n")],
        ),
        good=(
            [host("SshServer", content=SSHD + "AuthenticationMethods publickey\n")],
            [host("SshServer", content=SSHD + "# PasswordAuthentication yes\n")],
            [host("SshServer", content=UNKNOWN)],
        ),
    ),
    "ssh-stays-narrow": Example(
        bad=(
            [host("SshServer", content=SSHD.replace("PermitRootLogin no", "PermitRootLogin yes"))],
            [host("SshServer", content=SSHD + "PermitTunnel yes\n")],
            [host("SshServer", content=SSHD + "GatewayPorts clientspecified\n")],
            [host("SshServer", content=SSHD + "TrustedUserCAKeys /etc/ssh/ca.pub\n")],
        ),
        good=([host("SshServer", content=SSHD)], [host("SshServer", content=SSHD + "MaxSessions 20\n")]),
    ),
    "tunnels-are-limited": Example(
        bad=(
            [user(NOLOGIN, {"pc": "restrict,port-forwarding ssh-ed25519 AAAA"})],
            [user(NOLOGIN, {"pc": "ssh-ed25519 AAAA"})],
            [user(NOLOGIN, {"pc": 'restrict,port-forwarding,permitopen="*:*" ssh-ed25519 AAAA'})],
            [user(NOLOGIN, {"pc": 'restrict,port-forwarding,permitopen="172.17.0.1:*" ssh-ed25519 AAAA'})],
            [
                user(
                    NOLOGIN,
                    {"pc": 'restrict,Port-Forwarding,permitopen="a:1",PermitOpen="*:6379" ssh-rsa AAAA'},
                )
            ],
            [user(NOLOGIN, {"pc": 'restrict,command="ssh-x y",port-forwarding ecdsa-sha2-nistp256 AAAA'})],
        ),
        good=(
            [user(NOLOGIN, {"pc": 'restrict,port-forwarding,permitopen="172.17.0.1:6379" ssh-ed25519 AAAA'})],
            [user("/bin/bash", {"laptop": "ssh-ed25519 AAAA"})],
            [user(NOLOGIN, {"made": UNKNOWN})],
            [user(NOLOGIN, {"pc": 'restrict,command="a * b",permitopen="[::1]:6379" ssh-ed25519 AAAA a*'})],
        ),
    ),
    "host-has-ssh-policy": Example(
        bad=([docker(), host("UfwPolicy"), host("ForwardFilter")],),
        good=([docker(), host("SshServer")], []),
    ),
    "host-key-pinned": Example(
        bad=(
            [of(HARDENED, "web1", host_key="trusted on first use")],
            [docker(sshOpts='["-o", "StrictHostKeyChecking=no"]')],
            [docker(sshOpts=["-o", "UserKnownHostsFile=/dev/null"])],
            [of(REMOTE, create="true", connection={"host": "203.0.113.10"})],
        ),
        good=(
            [of(HARDENED, "web1", host_key="pinned")],
            [docker(sshOpts='["-F", ".portcullis/test/ssh_config"]')],
            [of(REMOTE, create="true", connection={"host": "203.0.113.10", "hostKey": "ssh-ed25519 AAAA"})],
        ),
    ),
    "site-has-tls": Example(
        bad=(
            [golden_site("app-http")],
            [golden_site("spa-http")],
            [golden_site("guarded-http")],
            [site("server { listen 80; listen 443 ssl; root /srv; }")],
        ),
        good=(
            [golden_site("app")],
            [golden_site("spa")],
            [golden_site("redirect-http")],
            [site("server { listen 127.0.0.1:8081; location /status { root /srv; } }")],
            [host("File", path="/etc/motd", content="server { listen 80; root /srv; }")],
        ),
    ),
    "hsts-floor": Example(
        bad=(
            [tls_server("root /srv;")],
            [tls_server("root /srv; add_header Strict-Transport-Security max-age=300 always;")],
            [
                tls_server(
                    'add_header Strict-Transport-Security "max-age=63072000"; '
                    "location / { add_header X-A b; proxy_pass http://app; }"
                )
            ],
        ),
        good=(
            [golden_site("app")],
            [golden_site("headers")],
            [golden_site("app-http")],
            [
                tls_server(
                    'root /srv; add_header Strict-Transport-Security "max-age=15552000; preload" always;'
                )
            ],
            [tls_server("return 444;")],
        ),
    ),
}
