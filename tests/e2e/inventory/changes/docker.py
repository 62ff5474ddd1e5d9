"""Changes by hand that add undeclared containers, networks, volumes and images, or change declared ones."""

from __future__ import annotations

from tests.e2e.inventory.changes.change import IMAGE, KEPT, Change

CONTAINERS, NETWORKS, MEMBERS, VOLUMES, SWARM = (
    "containers",
    "networks of Docker",
    "members of declared networks",
    "volumes and images",
    "Swarm",
)
_SERVES = "/bin/busybox httpd -f -p 8080 -h /www"


def container(name: str, options: str = "", port: int = 8080) -> str:
    return f"docker run -d --name {name} {options} {IMAGE} /bin/busybox httpd -f -p {port} -h /www >/dev/null"


def _container(name: str, options: str, *words: str, review: str = "", **more: object) -> Change:
    return Change(
        CONTAINERS,
        container(name, options),
        (name, *words),
        f"docker rm -f {name} >/dev/null",
        paste=True,
        review=review,
        **more,  # type: ignore[arg-type]
    )


CHANGES = {
    "container": _container("drill-plain", "", review="F4: a container without ports"),
    "container-with-the-host's-disk": _container(
        "drill-deep",
        "--privileged --pid=host -v /:/hostfs",
        "privileged, sees the host's processes, mounts / at /hostfs",
        review="F4: even --privileged --pid=host -v /:/hostfs",
    ),
    "container-with-docker's-socket": _container("drill-socket", "-v /var/run/docker.sock:/s", "socket"),
    "container-with-capabilities": _container("drill-capable", "--cap-add SYS_ADMIN", "capabilities"),
    "container-on-a-port": _container(
        "drill-open",
        "-p 3306:8080",
        "publishes 172.17.0.1:3306",
        follows=(("tcp4 172.17.0.1:3306", 'published by container "drill-open"'),),
    ),
    "container-on-a-port-of-every-address": _container(
        "drill-everywhere",
        "-p 0.0.0.0:3309:8080 -p '[::]:3309:8080'",
        "publishes 0.0.0.0:3309, [::]:3309",
        follows=(
            ("tcp4 0.0.0.0:3309", 'published by container "drill-everywhere"'),
            ("tcp6 [::]:3309", 'published by container "drill-everywhere"'),
        ),
    ),
    "container-on-the-host's-network": Change(
        CONTAINERS,
        # Only root may listen on a port below 32768.
        container("drill-hostnet", "--network host", 42085),
        ("drill-hostnet", "host's network"),
        "docker rm -f drill-hostnet >/dev/null",
        follows=(("42085", 'container "drill-hostnet"', "listens"),),
    ),
    "container-that-ended": Change(
        CONTAINERS,
        f"docker run --name drill-ended {IMAGE} /bin/true",
        ("drill-ended",),
        "docker rm drill-ended >/dev/null",
    ),
    "container-in-a-declared-network": Change(
        MEMBERS,
        container("drill-joined", "--network redis-shared"),
        ("drill-joined", "redis-shared"),
        "docker rm -f drill-joined >/dev/null",
        review="F2: a container made by hand on redis-shared",
    ),
    "container-in-a-declared-container's-namespace": Change(
        MEMBERS,
        container("drill-inside", "--network container:redis", 8086),
        ("drill-inside", "in the network of redis"),
        "docker rm -f drill-inside >/dev/null",
        review="F2: --network container:redis",
    ),
    "declared-container-in-another-network": Change(
        MEMBERS,
        "docker network connect bridge redis",
        ("redis", "is in the network bridge"),
        "docker network disconnect bridge redis",
        follows=(("member bridge: redis", "was connected by hand"),),
        stays=False,
        review="F2: docker network connect bridge redis",
    ),
    "declared-container-changed": Change(
        CONTAINERS,
        "docker update --restart no redis >/dev/null",
        ("redis", "restart"),
        "docker update --restart unless-stopped redis >/dev/null",
        stays=False,
        review="F4: docker update",
    ),
    "network": Change(
        NETWORKS,
        "docker network create drill-empty >/dev/null",
        ("network", "drill-empty"),
        "docker network rm drill-empty >/dev/null",
        paste=True,
        review="F4: an empty network",
    ),
    "network-with-somebody-in-it": Change(
        NETWORKS,
        "docker network create -o com.docker.network.bridge.name=drill0 drill-shop >/dev/null;"
        f" {container('drill-shopper', '--network drill-shop')}",
        ("network", "drill-shop"),
        "docker rm -f drill-shopper >/dev/null; docker network rm drill-shop >/dev/null",
        also=(("container", "drill-shopper"),),
        follows=(("network drill-shop", 'undeclared, with container "drill-shopper"'),),
    ),
    "network-beside-the-firewalls": Change(
        NETWORKS,
        "docker network create -d macvlan -o parent=eth0 --subnet 198.51.100.0/24 --gateway 198.51.100.1"
        " --ip-range 198.51.100.240/29 drill-lan >/dev/null;"
        f" {container('drill-guest', '--network drill-lan')}",
        ("network drill-lan", "macvlan on eth0: passes all firewalls"),
        "docker rm -f drill-guest >/dev/null; docker network rm drill-lan >/dev/null",
        also=(("container", "drill-guest"),),
        follows=(
            ("network drill-lan", 'container "drill-guest"', "past every filter of the host (macvlan)"),
        ),
        review="F7: macvlan passes all firewalls",
    ),
    "network-with-ipv6": Change(
        NETWORKS,
        "docker network create --ipv6 --subnet fd00:d711::/64 drill-six >/dev/null",
        ("network", "drill-six"),
        "docker network rm drill-six >/dev/null; sysctl -qw net.ipv6.conf.all.forwarding=0",
        also=(("net.ipv6.conf.all.forwarding",),),
        apart="when forwarding is on, the kernel drops the router of another change",
        review="F3: docker network create --ipv6",
    ),
    "volume": Change(
        VOLUMES,
        "docker volume create drill-volume >/dev/null",
        ("volume drill-volume", "local"),
        "docker volume rm drill-volume >/dev/null",
        paste=True,
        review="F4: a volume",
    ),
    "tag": Change(
        VOLUMES,
        "docker tag $(docker inspect -f '{{.Image}}' redis) drill/tagged:1",
        ("drill/tagged:1",),
        "docker rmi drill/tagged:1 >/dev/null",
        paste=True,
        review="F4: a tag",
    ),
    # Docker refuses Swarm mode with live-restore, which our daemon.json sets.
    "swarm": Change(
        SWARM,
        f"mkdir -p {KEPT}; cp -p /etc/docker/daemon.json {KEPT}/daemon.json;"
        " sed -i '/live-restore/d' /etc/docker/daemon.json; systemctl restart docker;"
        " docker swarm init --advertise-addr 127.0.0.1 --listen-addr 127.0.0.1 >/dev/null",
        ("swarm",),
        f"docker swarm leave --force >/dev/null; cat {KEPT}/daemon.json > /etc/docker/daemon.json;"
        " docker network rm docker_gwbridge >/dev/null 2>&1; systemctl restart docker;"
        " docker start redis hello >/dev/null 2>&1 || true",
        also=(("/etc/docker/daemon.json",),),
        may=(("2377",), ("7946",), ("4789",), ("docker.service",), ("redis",), ("hello",)),
        apart="without live-restore the restart of Docker ends all containers",
        review="F7: Swarm",
    ),
}
