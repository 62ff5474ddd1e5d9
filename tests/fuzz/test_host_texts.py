"""Every reader reads any text of a file, a program or the kernel of a host, or refuses it with a message."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.agent import guarded, operations, packaged, paths, step
from portcullis.agent.errors import AgentError
from portcullis.components.certificates.on_host import certbot_output
from portcullis.components.exposure.on_host import packet_passes, socket_owners
from portcullis.components.firewall.on_host import ufw_changes, ufw_files, ufw_live, ufw_names, ufw_rules
from portcullis.components.inventory.on_host import (
    alternatives,
    docker,
    dpkg,
    kernel,
    key_places,
    packages,
    pam,
    unit_files,
    walk,
    who,
)
from portcullis.components.nginx.on_host import nginx_config, nginx_undeclared
from portcullis.components.redis.on_host import redis_acl
from portcullis.components.ssh.on_host import ssh_rules, ssh_steps, sshd_config
from portcullis.components.users.on_host import authorized_keys, sudoers
from portcullis.components.users.on_host.accounts import Account
from portcullis.resources.packages.on_host import apt, policy
from portcullis.resources.service import on_host as service
from portcullis.resources.sysctl.on_host import sysctl_files
from tests.fuzz.texts import texts

RECORDED = Path(__file__).parents[1] / "components" / "firewall" / "recorded" / "ufw"


def recorded(name: str, lines: int = 60) -> str:
    return "\n".join((RECORDED / name).read_text().splitlines()[:lines]) + "\n"


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g"
SHOWN = "Id=nginx.service\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\nDefaultDependencies=yes\n\nId=x.timer\n"
JOURNAL = "\n".join(
    json.dumps(
        {
            "__REALTIME_TIMESTAMP": "1790000000000000",
            "_PID": str(pid),
            "_BOOT_ID": "b",
            "_EXE": exe,
            "MESSAGE": said,
        }
    )
    for pid, exe, said in (
        (
            7,
            "/usr/sbin/sshd",
            "Accepted publickey for deploy from 203.0.113.7 port 50000 ssh2: ED25519 SHA256:abc",
        ),
        (7, "/usr/sbin/sshd", "pam_unix(sshd:session): session closed for user deploy"),
        (8, "/usr/sbin/sshd", "Disconnected from user deploy 203.0.113.7 port 50000"),
    )
)
NFT = """table inet portcullis {
\tchain forward {
\t\ttype filter hook forward priority -10; policy accept;
\t\tct status dnat meta l4proto tcp ct original proto-dst 443 ip saddr 10.0.0.0/8 accept
\t\tct state vmap { established : accept, related : accept }
\t}
}
"""
PROC_NET = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0277 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 21000 1 0000 100 0 0 10 0
"""
CGROUP = (
    "0::/system.slice/docker-"
    + "a" * 64
    + ".scope\n1:name=systemd:/user.slice/user-1000.slice/user@1000.service\n"
)
CERTBOT = """Saving debug log to /var/log/letsencrypt/letsencrypt.log
An unexpected error occurred:
Certbot failed to authenticate some domains (authenticator: webroot). The Certificate Authority reported:
  Domain: a.example.com
  Type:   unauthorized
  Detail: 203.0.113.7: Invalid response
    from http://a.example.com/

Failed to renew certificate a.example.com with error: Some challenges have failed.
acme.messages.Error: urn:ietf:params:acme:error:rateLimited :: too many certificates
"""
STATUS = """Package: nginx
Status: install ok installed
Architecture: amd64
Version: 1.26.3-3
Conffiles:
 /etc/nginx/nginx.conf 0123456789abcdef0123456789abcdef
 /etc/nginx/old.conf 0123456789abcdef0123456789abcdef obsolete

Package: vim
Status: hold ok config-files
"""
POLICY = """nginx:
  Installed: 1.26.3-3
  Candidate: 1.26.3-3
  Version table:
 *** 1.26.3-3 500
        500 http://deb.debian.org/debian trixie/main amd64 Packages
        100 /var/lib/dpkg/status
Package files:
 500 http://deb.debian.org/debian trixie/main amd64 Packages
     release v=13.1,o=Debian,a=stable
"""
UNIT = "[Unit]\nAfter=network.target \\\n  x.target\n[Install]\nWantedBy=multi-user.target\nAlias=y.service\n"
NGINX = """http { include conf.d/*.conf; server { listen 443 ssl; server_name "a b" 'c' ~^x${y}$; # why
  return 200 "ok;\\"}"; } }
"""
SSHD = 'Port 22\nInclude /etc/ssh/sshd_config.d/*.conf\nMatch User "a b",c Address 10.0.0.0/8\n  AuthorizedKeysFile=.ssh/k %h/x\n'
SUDOERS = "Defaults env_reset\n#includedir /etc/sudoers.d\nroot ALL=(ALL:ALL) \\\n  ALL\n@include x\n"
ACL = "user default reset off\nuser _ops reset on #" + "a" * 64 + " ~* &* +@all\n"
JAIL = "[DEFAULT]\nbantime = 10m\n[sshd]\nenabled = true\nlogpath = /a\n  /b\n"
ALTERNATIVE = "auto\n/usr/bin/pager\npager.1.gz\n/usr/share/man/man1/pager.1.gz\n\n/usr/bin/less\n77\n/x\n/bin/more\n50\n\n"
PAM = "auth\t[success=1 default=ignore]\tpam_unix.so nullok\nauth requisite pam_deny.so\nauth required pam_permit.so\n"
PAM_TEMPLATE = "$auth_primary\nauth requisite pam_deny.so\nauth required pam_permit.so\n$auth_additional\n"
TUPLES = recorded("user.rules") + (
    "### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in comment=706f7274\n"
    "### tuple ### route:deny_log any any 10.0.0.0/8 any 0.0.0.0/0 - App%20x in_eth0!out_eth1\n"
)

Reader = Callable[[str], Any]


def _each(read: Reader) -> Reader:
    return lambda text: list(read(text))


READERS: dict[str, tuple[Reader, st.SearchStrategy[str]]] = {
    # readers of the agent
    "peer": (
        guarded.Peer.parse,
        texts("203.0.113.7 50000 198.51.100.1 22", "fe80::1%eth0 1 fe80::2%eth0 22"),
    ),
    "os-release": (lambda text: operations.os_name(text.splitlines()), texts('ID=debian\nVERSION_ID="13"\n')),
    "dpkg -S": (lambda text: packaged.owners(text, "/a"), texts("a, b:amd64: /a\ndiversion by x from: /a\n")),
    "conffiles": (lambda text: packaged.conffile_sums(text, "/a"), texts(" /a abc\n /b def obsolete\n")),
    "md5sums": (lambda text: packaged.listed_sums(text, "/a"), texts("abc  a\n")),
    "mode": (paths.mode_bits, texts("0644", "7777", "0o644")),
    "path": (paths.checked, texts("/etc/x", "/a/../b")),
    "text_diff": (lambda text: step.text_diff(text, "a\nb\n", "/x"), texts("a\nb\n", "a\r\nb")),
    # readers of packages, services and kernel settings
    "dpkg-query": (apt.package_states, texts("nginx\tii \nvim\trc \n")),
    "apt-get -s": (apt.changes, texts("Inst nginx [1] (2 Debian)\nInst a (1)\nRemv b [1]\nPurg c\n")),
    "apt-cache policy": (apt.with_candidate, texts(POLICY)),
    "apt's lock": (
        apt.lock_holder,
        texts("E: Could not get lock /var/lib/dpkg/lock. It is held by process 4 (apt)"),
    ),
    "dpkg -L": (
        policy.units_among,
        texts("/lib/systemd/system/nginx.service\n/usr/lib/systemd/system/x@.timer\n"),
    ),
    "systemctl show, packages": (policy.starting, texts(SHOWN)),
    "systemctl show": (service.parse_show, texts(SHOWN)),
    "sysctl.d": (_each(sysctl_files.parse), texts("net.ipv4.ip_forward = 1\n-net/ipv4/x.1=2\n; c\n")),
    # readers of firewall and exposure
    "ufw's tuples": (ufw_rules.parse_tuples, texts(TUPLES)),
    "ufw's settings": (ufw_files._settings, texts('ENABLED=yes\nIPV6="no"\n')),
    "ufw's rule names": (
        ufw_names.normal_name,
        texts("in 443/tcp on eth0 from 10.0.0.0/8 port 1 to ::1 (v6)", "route any in on a out on b"),
    ),
    "ufw's rule values": (ufw_names.normal_value, texts("deny log # why", "allow", "limit log-all")),
    "ssh's rules": (ssh_rules.parse, texts(TUPLES)),
    "iptables-save": (ufw_live.parse_saved, texts(recorded("iptables-save"), recorded("before.rules"))),
    "iptables-save, exposure": (
        lambda text: packet_passes.by_iptables(text, "iptables", ["docker0"], [("tcp", 443)]),
        texts(
            recorded("iptables-save"),
            "*nat\n-A DOCKER ! -i docker0 -p tcp -m tcp --dport 443 -j DNAT --to-destination 172.17.0.2:8\n",
        ),
    ),
    "chains": (lambda text: packet_passes.chains(text, "ip6tables"), texts(recorded("ip6tables-save"))),
    "nft": (
        lambda text: [
            packet_passes.by_filter(found.get("inet portcullis")) or packet_passes.by_tables(found, {})
            for found in [packet_passes.tables(text)]
        ],
        texts(NFT, NFT.replace("inet portcullis", "ip mine")),
    ),
    "cgroup": (socket_owners.unit_and_container, texts(CGROUP)),
    # readers of logins
    "authorized_keys": (authorized_keys.parse_all, texts(f'from="a\\"b",no-pty {KEY} me\n', f"{KEY}\n")),
    "sudoers": (
        lambda text: [sudoers.lines(text), sudoers.without(text, {"root ALL=(ALL:ALL) ALL"})],
        texts(SUDOERS),
    ),
    "sshd_config": (
        lambda text: sshd_config.read_lines(Path("/x"), lambda path: text if path == Path("/x") else None),
        texts(SSHD),
    ),
    "sshd -T": (sshd_config.parse_effective, texts("port 22\nallowusers a\nallowusers b\n")),
    "sshd's ports": (
        lambda text: [ssh_steps.with_ports(text, ["22"]), ssh_steps._settings(text)],
        texts("Port 2222\nX y\n"),
    ),
    "Match": (
        lambda text: key_places.could_select(text, "deploy", ["adm"]),
        texts("User deploy,!web-* Group=adm Address 10.0.0.0/8"),
    ),
    "AuthorizedKeysFile": (
        lambda text: key_places.expanded(text, ACCOUNT),
        texts("%h/.ssh/%u", ".ssh/a%%b%U"),
    ),
    "key text": (
        lambda text: [authorized_keys.Key.fingerprint.fget(key) for key in authorized_keys.parse_all(text)],  # type: ignore[attr-defined]
        texts(f"{KEY} me\n"),
    ),
    # readers of the inventory
    "journal": (lambda text: who.sessions(who.parse(text), {}, 1.0, lambda _: False), texts(JOURNAL)),
    "alternatives": (lambda text: alternatives.parse("pager", text).expected("pager"), texts(ALTERNATIVE)),
    "dpkg's status": (lambda text: dpkg._status(dpkg.Dpkg(), text), texts(STATUS)),
    "statoverride": (lambda text: dpkg._overrides(dpkg.Dpkg(), text), texts("root adm 0640 /etc/x\n")),
    "diversions": (lambda text: dpkg._diversions(dpkg.Dpkg(), text), texts("/a\n/b\n:\n")),
    "extended_states": (packages.automatic, texts("Package: x\nArchitecture: all\nAuto-Installed: 1\n\n")),
    "pam": (lambda text: pam.is_generated(text, PAM_TEMPLATE, [PAM]), texts(PAM)),
    "pam's template": (lambda text: pam.is_generated(PAM, text, [PAM]), texts(PAM_TEMPLATE)),
    "pam's profiles": (lambda text: pam.is_generated(PAM, PAM_TEMPLATE, [text]), texts(PAM)),
    "unit file": (lambda text: [unit_files.settings(text), unit_files._started(text)], texts(UNIT)),
    "unit name": (
        lambda text: [unit_files.template(text), unit_files.instance(text)],
        texts("getty@tty1.service"),
    ),
    "dpkg --verify": (
        lambda text: walk.verified(text, {}),
        texts("??5?????? c /etc/x\nmissing   /usr/bin/y\n"),
    ),
    "apt's sources": (lambda text: [walk.sources(text), walk.distribution(text)], texts(POLICY)),
    "kernel value": (lambda text: kernel._is_same(text, "0x1"), texts("0x1 1", "010")),
    "docker's time": (docker.seconds, texts("2026-11-27T08:00:12.123456789+01:00", "0001-01-01T00:00:00Z")),
    # readers of nginx, certificates, stores and fail2ban
    "nginx": (_each(nginx_config.directives), texts(NGINX)),
    "nginx -t": (
        lambda text: nginx_undeclared.place_only(nginx_undeclared.useful_line(text)),
        texts('nginx: [emerg] unknown directive "x" in /etc/nginx/nginx.conf:3\nnginx: test failed\n'),
    ),
    "certbot": (
        lambda text: [
            certbot_output.reason(text),
            certbot_output.last_reason(text, "a.example.com", ["a.example.com"]),
            certbot_output.unmasked(text),
        ],
        texts(CERTBOT),
    ),
    "Redis's users": (
        lambda text: [
            redis_acl.in_file(text, ACL.splitlines()[1]),
            redis_acl.with_line(text, ACL.splitlines()[1]),
            redis_acl.without(text, {""}),
        ],
        texts(ACL),
    ),
    "Redis's ACL LIST": (
        lambda text: redis_acl.in_server(text.split(), ACL.splitlines()[1], ["~*"]),
        texts(ACL),
    ),
}

ACCOUNT = Account("deploy", 1000, 1000, Path("/home/deploy"), "/bin/sh", "*")


@pytest.mark.parametrize("name", READERS)
@given(data=st.data())
def test_any_text_of_a_host_is_read_or_refused_with_a_message(name: str, data: st.DataObject) -> None:
    read, strategy = READERS[name]
    try:
        read(data.draw(strategy))
    except REFUSALS.get(name, AgentError):
        pass


# For ufw's own reader and the settings, the callers turn a ValueError into a message.
REFUSALS: dict[str, type[Exception]] = dict.fromkeys(
    ("ufw's tuples", "ufw's rule names", "ufw's rule values"), ValueError
)


@given(texts(TUPLES))
def test_all_parsed_rules_of_ufw_can_be_used(text: str) -> None:
    try:
        rules = ufw_rules.parse_tuples(text)
    except ValueError:
        return
    ufw_rules.merged({"4": rules, "6": rules}, ["4", "6"])
    packet_passes.by_ufw({"4": rules, "6": rules}, ["4", "6"])
    ufw_changes.misplaced(rules)
    for rule in rules:
        ufw_rules.verdict(rules, rule.match)
        assert all(isinstance(one, str) for one in rule.argv("delete", family="4"))
