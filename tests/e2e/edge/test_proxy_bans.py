"""Tests fail2ban's jails for nginx on a real host. They ban an attacker of the sites from the sites."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from lab import network
from tests.e2e.host.watch import wait_for
from tests.e2e.project import Project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.pytest_lab import Host, Lab

HOUR, WEEK = 3600, 604800
ATTACKER, DECLARED = network.INTERNET_ADDRESS, network.NEIGHBOUR_ADDRESS
SITE, UNKNOWN = "a.example.com", "nobody.example.net"
PATIENCE = 120.0  # seconds until fail2ban has read a log, at most

NGINX = r"""
limit_req_zone $binary_remote_addr zone=requests_a:1m rate=1r/s;
server {
    listen 80 default_server; listen [::]:80 default_server;
    access_log /var/log/nginx/unknown-host.access.log combined;
    location ^~ /.well-known/acme-challenge/ { access_log off; root /var/www; }
    location / { return 444; }
}
server {
    listen 443 ssl default_server; listen [::]:443 ssl default_server;
    ssl_reject_handshake on;
}
server {
    listen 80; listen [::]:80; server_name a.example.com;
    access_log off; error_log /var/log/nginx/a.example.com.error.log;
    root /var/www/html;
    location /private { auth_basic a; auth_basic_user_file /etc/nginx/a.htpasswd; try_files /none =404; }
    location /limited { limit_req zone=requests_a; limit_req_status 429; try_files /none =404; }
}
"""
PROGRAM = """
from portcullis.components import Fail2ban, Fail2banArgs, ProxyJails, ProxyJailsArgs
from portcullis.host import Host

after = lambda *things: pulumi.ResourceOptions(depends_on=things)
nginx = Packages("nginx", host="web1", names=["nginx"], on_delete="purge")
welcome = File("welcome", host="web1", path="/etc/nginx/sites-available/default", content="# none\\n",
               opts=after(nginx))
users = File("users", host="web1", path="/etc/nginx/a.htpasswd", content="alice:{{PLAIN}}right\\n",
             opts=after(nginx))
site = File("site", host="web1", path="/etc/nginx/conf.d/a.conf", content={nginx!r}, test=["nginx", "-t"],
            opts=after(nginx, welcome, users))
service = Service("nginx", host="web1", unit="nginx.service", reads=[site, users], opts=after(site))
web1 = Host("web1", "debian-13")
fail2ban = Fail2ban("fail2ban", Fail2banArgs(ignore=[{v4!r}, {v6!r}]), host=web1)
ProxyJails("jails", ProxyJailsArgs(error_logs=["/var/log/nginx/a.example.com.error.log"], auth=True,
                                   ignore=[{v4!r}, {v6!r}]), host=web1, opts=after(service, fail2ban))
"""
# Sends requests one after the other, each over a new connection, until a request gets no answer.
CLIENT = """
import base64, socket, sys
address, name, path, password, count = sys.argv[1:]
sent = 0
for _ in range(int(count)):
    login = base64.b64encode(f"alice:{password}".encode()).decode()
    head = f"GET {path} HTTP/1.1\\r\\nHost: {name}\\r\\nAuthorization: Basic {login}\\r\\n"
    try:
        with socket.create_connection((address, 80), 10) as line:
            line.sendall((head + "Connection: close\\r\\n\\r\\n").encode())
            line.recv(100)
    except OSError:
        break
    sent += 1
print(sent)
"""


@dataclass(frozen=True)
class Attack:
    """An attack on a site, and the jail that counts it.

    Attributes:
        jail: the name of the jail.
        failures: how many counted requests cause a ban.
        name: the host name in the requests.
        path: the path in the requests.
        requests: how many requests the attacker has to send for the ban.
    """

    jail: str
    failures: int
    name: str
    path: str
    requests: int

    @property
    def values(self) -> dict[str, int | bool]:
        return {
            "maxretry": self.failures, "findtime": 600, "bantime": HOUR, "bantime.increment": True,
            "bantime.maxtime": 8 * WEEK,
        }  # fmt: skip


ATTACKS = [
    Attack("nginx-http-auth", 5, SITE, "/private", 5),
    # nginx lets one request a second pass, and refuses the others.
    Attack("nginx-limit-req", 100, SITE, "/limited", 120),
    Attack("nginx-unknown-host", 30, UNKNOWN, "/.env", 30),
]
EACH = pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.jail)


@pytest.fixture(scope="module")
def standing(module_host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Deploy nginx and its jails to a host."""
    project = Project(tmp_path_factory.mktemp("standing") / "bans", module_host, name="proxy-bans")
    project.program(PROGRAM.format(nginx=NGINX, v4=DECLARED.v4, v6=DECLARED.v6))
    project.up()
    yield project
    project.close()


@pytest.fixture
def host(standing: Project) -> Iterator[Host]:
    yield standing.host
    standing.host.run("fail2ban-client unban --all")


def send(
    lab: Lab, host: Host, attack: Attack, *, place: str = "internet", v6: bool = False, count: int
) -> int:
    """Send requests with a wrong password; return how many were answered to or closed."""
    address = host.address6 if v6 else host.address
    argv = ("python3", "-c", CLIENT, address, attack.name, attack.path, "wrong", str(count))
    return int(lab.at(place, *argv, timeout=600).stdout)


def connects(lab: Lab, address: str, port: int, place: str = "internet") -> bool:
    code = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)"
    return lab.at(place, "python3", "-c", code, address, str(port)).returncode == 0


def banned(host: Host, jail: str) -> dict[str, int]:
    """Return the addresses that a jail bans, with the length of each ban in seconds."""
    told = host.run(f"fail2ban-client get {jail} banip --with-time").stdout
    return {line.split()[0]: int(line.split()[4]) for line in told.splitlines() if " + " in line}


def failed(host: Host, jail: str) -> int:
    found = host.run(f"fail2ban-client status {jail}").stdout
    return int(found.partition("Total failed:")[2].split()[0])


def in_the_packet_filter(host: Host) -> set[str]:
    listed = host.run("nft -j list table inet f2b-table", check=False).stdout
    parts = json.loads(listed)["nftables"] if listed else []
    return {element for part in parts if "set" in part for element in part["set"].get("elem", ())}


@EACH
def test_the_values_that_run_are_those_declared(standing: Project, attack: Attack) -> None:
    standing.unchanged()
    for option, value in attack.values.items():
        assert standing.host.run(f"fail2ban-client get {attack.jail} {option}").stdout.strip() == str(value)
    ignored = standing.host.run(f"fail2ban-client get {attack.jail} ignoreip").stdout
    assert {line[3:] for line in ignored.splitlines()[1:]} == {
        "127.0.0.0/8", "::1", DECLARED.v4, DECLARED.v6,
    }  # fmt: skip


@EACH
@pytest.mark.parametrize("v6", [False, True], ids=["IPv4", "IPv6"])
def test_who_attacks_is_banned_from_both_ports_for_an_hour_and_nobody_else(
    host: Host, lab: Lab, attack: Attack, *, v6: bool
) -> None:
    who, address = (ATTACKER.v6, host.address6) if v6 else (ATTACKER.v4, host.address)
    before = failed(host, attack.jail)
    few = attack.failures - 1 if attack.requests == attack.failures else attack.failures // 2
    assert send(lab, host, attack, v6=v6, count=few) == few
    enough = few if attack.requests == attack.failures else few // 2
    wait_for(
        "the first failures to be counted", lambda: failed(host, attack.jail) - before >= enough, PATIENCE
    )
    assert banned(host, attack.jail) == {}, "not yet a reason for a ban"
    assert connects(lab, address, 443)

    send(lab, host, attack, v6=v6, count=attack.requests - few)
    wait_for("the ban", lambda: who in in_the_packet_filter(host), PATIENCE)
    assert banned(host, attack.jail) == {who: HOUR}
    assert not connects(lab, address, 80)
    assert not connects(lab, address, 443)
    assert connects(lab, address, 22), "who is banned from the sites may still log in"
    assert connects(lab, address, 80, "neighbour"), "nobody else is banned"


@EACH
def test_a_declared_address_is_never_banned(host: Host, lab: Lab, attack: Attack) -> None:
    count = 2 * attack.requests
    assert send(lab, host, attack, place="neighbour", count=count) == count
    read = f"[{attack.jail}] Ignore {DECLARED.v4}"
    log = "/var/log/fail2ban.log"
    wait_for("fail2ban to read the failures", lambda: host.read(log).count(read) >= attack.failures, PATIENCE)
    assert banned(host, attack.jail) == {}
    assert connects(lab, host.address, 80, "neighbour")


def test_a_visitor_who_does_nothing_wrong_is_not_counted(host: Host, lab: Lab) -> None:
    jails = [attack.jail for attack in ATTACKS]
    before = [failed(host, jail) for jail in jails]
    url = f"http://{host.address}/private"
    for _ in range(12):
        # A request without a password, as a browser sends it first, one with the right password, and one of a
        # certificate authority.
        lab.fetch("internet", "-H", f"Host: {SITE}", url)
        lab.fetch("internet", "-H", f"Host: {SITE}", "-u", "alice:right", url)
        lab.fetch("internet", "-H", f"Host: {UNKNOWN}", f"http://{host.address}/.well-known/acme-challenge/x")
    # The next requests count. They come later in each log, so fail2ban reads them after the harmless ones.
    for attack in ATTACKS:
        send(lab, host, attack, count=3)
    wait_for("fail2ban to read the logs", lambda: failed(host, jails[2]) >= before[2] + 3, PATIENCE)
    wait_for("fail2ban to read the logs", lambda: failed(host, jails[0]) >= before[0] + 3, PATIENCE)
    assert failed(host, jails[0]) == before[0] + 3
    assert failed(host, jails[2]) == before[2] + 3
    assert all(banned(host, jail) == {} for jail in jails)


def test_the_filter_takes_address_and_status_from_where_nginx_alone_writes(host: Host) -> None:
    lines = {
        '192.0.2.1 - - [{}] "GET / HTTP/1.1" 444 0 "-" "zgrab"': True,
        '2001:db8::1 - - [{}] "GET / HTTP/1.1" 444 0 "-" "-"': True,
        '192.0.2.2 - 198.51.100.7 - - [] [{}] "GET / HTTP/1.1" 444 0 "-" "-"': True,
        '192.0.2.3 - - [{}] "\\x16\\x03\\x01" 400 150 "-" "-"': True,
        '192.0.2.4 - - [{}] "GET / HTTP/1.1" 404 0 "-" "\\x22 444 0 \\x22"': False,
        '192.0.2.5 - - [{}] "GET /\\x22 444 0 \\x22 HTTP/1.1" 200 0 "-" "-"': False,
    }
    time = host.run("date '+%d/%b/%Y:%H:%M:%S %z'").stdout.strip()
    host.write("/root/lines", "".join(line.format(time) + "\n" for line in lines))
    done = host.run("fail2ban-regex -o ip /root/lines portcullis-unknown-host").stdout.split()
    assert done == [line.split()[0] for line, counts in lines.items() if counts]


def test_without_fail2ban_nobody_is_banned(standing: Project, lab: Lab) -> None:
    standing.host.run("systemctl stop fail2ban")
    for attack in ATTACKS:
        send(lab, standing.host, attack, count=attack.requests)
    assert connects(lab, standing.host.address, 80), "without fail2ban nobody is banned"
    standing.host.run("systemctl start fail2ban")
    wait_for("the ban", lambda: ATTACKER.v4 in in_the_packet_filter(standing.host), PATIENCE)
    standing.host.run("fail2ban-client unban --all")


def test_destroy_gives_all_back(standing: Project) -> None:
    standing.destroy()
    left = "find /etc/fail2ban /var/lib/portcullis -type f; command -v fail2ban-client nginx"
    assert standing.host.run(left, check=False).stdout == ""
    assert in_the_packet_filter(standing.host) == set()
