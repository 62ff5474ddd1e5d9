"""Tests the settings that harden a host: their defaults, all keys, and faults."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from portcullis.components.host.stack import load
from tests.config.test_settings import KEY, changed, faults, smallest


def rsa(bits: int) -> str:
    strings = [b"ssh-rsa", b"\1\0\1", b"\0" + (1 << (bits - 1)).to_bytes(bits // 8)]
    blob = b"".join(len(string).to_bytes(4) + string for string in strings)
    return f"ssh-rsa {base64.b64encode(blob).decode()} old@laptop"


def test_the_defaults_are_secure() -> None:
    host = load(smallest()).hosts["web1"]
    assert (host.ssh.root_login, host.ssh.options, host.users) == ("prohibit-password", {}, {})
    assert (host.firewall.allow, host.firewall.logging) == ({}, "low")
    ban = host.fail2ban
    assert (ban.ignore, ban.max_retry, ban.find_time, ban.ban_time) == ((), 5, "10m", "7d")
    assert (host.updates.reboot, host.updates.docker) == ("04:00", "upgrade")
    assert (host.kernel.values, host.kernel.only) == ({}, ())
    assert (host.upkeep.journal, host.upkeep.image_prune) == ("500M", "weekly")
    assert (host.upkeep.swap, host.upkeep.notify) == ("none", None)
    assert host.docker_engine.address_pools == ()


def test_an_empty_section_is_the_default() -> None:
    config = smallest()
    for section in ("ssh", "users", "firewall", "fail2ban", "updates", "kernel", "upkeep", "dockerEngine"):
        for nothing in ({}, None):
            config["hosts"]["web1"][section] = nothing
            assert load(config) == load(smallest())


def test_every_hardening_setting_is_accepted() -> None:
    config = smallest()
    config["hosts"]["web1"] |= {
        "user": "deploy",
        "port": 2222,
        "bootstrap": {},
        "ssh": {"rootLogin": "no", "options": {"MaxSessions": 20, "AllowTcpForwarding": "local"}},
        "users": {
            "deploy": {"keys": {"laptop": KEY + " me@laptop", "ci": rsa(4096)}, "sudo": True},
            "backup": {"keys": {"nas": rsa(3072)}},
        },
        "firewall": {
            "allow": {"8443/tcp": {"from": ["203.0.113.0/24", "2001:db8::1"]}, "60000:61000/udp": {}},
            "public": {"8883/tcp": {"from": ["203.0.113.0/24"]}},
            "outside": ["vmbr0"],
            "logging": False,
        },
        "fail2ban": {"ignore": ["203.0.113.7"], "maxRetry": 3, "banTime": 86400, "findTime": "1h"},
        "updates": {"reboot": "never", "docker": "hold"},
        "kernel": {"values": {"net.ipv4.conf.all.rp_filter": 2}, "only": ["net."]},
        "upkeep": {"journal": "1G", "imagePrune": "never", "swap": "2G", "notify": ["/opt/tell", "ops"]},
        "dockerEngine": {"addressPools": [{"base": "10.200.0.0/16", "size": 26}, {"base": "10.9.0.0/16"}]},
    }
    host = load(config).hosts["web1"]
    assert host.ssh.root_login == "no"
    assert host.ssh.options == {"MaxSessions": "20", "AllowTcpForwarding": "local"}
    assert host.users["deploy"].sudo is True
    assert host.users["backup"].sudo is False
    assert host.firewall.allow["8443/tcp"].from_ == ("203.0.113.0/24", "2001:db8::1")
    assert host.firewall.allow["60000:61000/udp"].from_ == ()
    assert host.firewall.logging == "off", "YAML reads off as false"
    assert host.firewall.public["8883/tcp"].from_ == ("203.0.113.0/24",)
    assert host.firewall.outside == ("vmbr0",)
    assert host.fail2ban.ban_time == "86400"
    assert host.kernel.values == {"net.ipv4.conf.all.rp_filter": "2"}
    assert [(pool.base, pool.size) for pool in host.docker_engine.address_pools] == [
        ("10.200.0.0/16", 26),
        ("10.9.0.0/16", 24),
    ]


@pytest.mark.parametrize("no", ["no", False])
def test_no_may_arrive_as_false(no: Any) -> None:
    config = smallest()
    config["hosts"]["web1"] |= {
        "user": "deploy",
        "users": {"deploy": {"keys": {"a": KEY}, "sudo": True}},
        "ssh": {"rootLogin": no},
    }
    assert load(config).hosts["web1"].ssh.root_login == "no"
    config["hosts"]["web1"] |= {"user": "root"}
    assert any("ssh.rootLogin: " in line and "locks out" in line for line in faults(config))


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("ssh", {"rootLogin": "yes"}, "no user may log in with a password; write prohibit-password or no"),
        ("ssh", {"rootLogin": True}, "is not supported: no user may log in with a password"),
        ("ssh", {"rootLogin": "no"}, "locks out the user that deploys"),
        ("ssh", {"options": {"Port": 2222}}, "ssh.options.Port: cannot be set here; set the port"),
        ("ssh", {"options": {"PermitRootLogin": "x"}}, "set rootLogin beside options"),
        ("ssh", {"options": {"Match": "User x"}}, "cannot be set here"),
        ("ssh", {"options": {"maxSessions": 1}}, "is not a keyword of sshd_config"),
        ("ssh", {"options": {"Banner": "a\nPort 1"}}, "is not a value of sshd_config"),
        ("ssh", {"options": {"X11Forwarding": True}}, 'write "yes" and "no" in quotes'),
        ("ssh", {"options": {"Permitrootlogin": "yes"}}, "ssh.options.Permitrootlogin: cannot be set here"),
        ("ssh", {"options": {"PORT": 2222}}, "ssh.options.PORT: cannot be set here; set the port"),
        ("ssh", {"options": {"INCLUDE": "/etc/x"}}, "cannot be set here"),
        ("ssh", {"options": {"MaxSessions": 2, "Maxsessions": 3}}, "is the same option as MaxSessions"),
        ("ssh", {"options": {"PasswordAuthentication": "yes"}}, "allows a login without a key: attackers"),
        ("ssh", {"options": {"Passwordauthentication": "YES"}}, "allows a login without a key: attackers"),
        ("ssh", {"options": {"KbdInteractiveAuthentication": "yes"}}, "allows a login without a key: with"),
        ("ssh", {"options": {"ChallengeResponseAuthentication": "yes"}}, "allows a login without a key"),
        ("ssh", {"options": {"PermitEmptyPasswords": "yes"}}, "allows a login without a key"),
        ("ssh", {"options": {"HostbasedAuthentication": "yes"}}, "allows a login without a key"),
        ("ssh", {"options": {"GSSAPIAuthentication": "yes"}}, "allows a login without a key"),
        ("ssh", {"options": {"AuthenticationMethods": "any"}}, "that allows a login without a key"),
        ("ssh", {"options": {"AuthenticationMethods": "publickey password"}}, "allows a login without a key"),
        ("ssh", {"rootlogin": "no"}, "did you mean rootLogin?"),
        ("users", {"deploy": {"keys": {"a": "-----BEGIN OPENSSH PRIVATE KEY-----"}}}, "is a private key"),
        ("users", {"deploy": {"keys": {"a": 'from="1.2.3.4" ' + KEY}}}, "is not a public key"),
        ("users", {"deploy": {"keys": {"a": KEY[:-8]}}}, "is not a complete ssh-ed25519 key"),
        ("users", {"deploy": {"keys": {"a": rsa(2048)}}}, "is an RSA key of 2048 bits; make an Ed25519 key"),
        ("users", {"deploy": {"keys": {"a": KEY + "\n" + KEY}}}, "is not a public key"),
        ("users", {"deploy": {"keys": {"a": KEY, "b": KEY + " b"}}}, "keys.b: is the same key as a"),
        ("users", {"root": {"keys": {"a": KEY}, "sudo": True}}, "root.sudo: has no meaning for root"),
        ("users", {"deploy": {"keys": {"a b": KEY}}}, "is not a name for a key"),
        ("users", {"Deploy": {}}, "is not a user name"),
        ("users", {"root": {}}, "users.root.keys: has no key, but this user deploys"),
        ("firewall", {"allow": {"8443": {}}}, "is not a port with its protocol"),
        ("firewall", {"allow": {"99999/tcp": {}}}, "is above 65535, the last port"),
        ("firewall", {"allow": {"30:20/tcp": {}}}, "is a range that ends before it begins"),
        ("firewall", {"allow": {"22/tcp": {}}}, "22, which is already open for the SSH server; remove it"),
        ("firewall", {"allow": {"400:500/tcp": {}}}, "covers port 443, which is already open for nginx"),
        ("firewall", {"allow": {"8443/tcp": {"from": ["203.0.113.7/24"]}}}, "write 203.0.113.0/24"),
        ("firewall", {"allow": {"8443/tcp": {"from": ["2001:DB8::1"]}}}, "write 2001:db8::1"),
        ("firewall", {"allow": {"8443/tcp": {"from": ["office"]}}}, "is not an address or network"),
        ("firewall", {"allow": {"8443/tcp": {"from": []}}}, "allow.8443/tcp.from: names nobody; remove"),
        ("firewall", {"public": {"8443/tcp": {"from": None}}}, "public.8443/tcp.from: names nobody"),
        ("firewall", {"public": {"22/tcp": {}}}, "public.22/tcp: covers port 22, which is already open"),
        ("firewall", {"public": {"400:500/tcp": {}}}, "covers port 443, which is already open for nginx"),
        ("firewall", {"logging": "verbose"}, "is not a level of ufw's log"),
        ("fail2ban", {"maxretries": 5}, "did you mean maxRetry?"),
        ("fail2ban", {"maxRetry": 0}, "is not a number of tries"),
        ("fail2ban", {"banTime": "1 week"}, "is not a length of time"),
        ("fail2ban", {"banTime": "999999999w"}, "is longer than 260 weeks (five years)"),
        ("fail2ban", {"findTime": 200000000}, "is longer than 260 weeks (five years)"),
        ("fail2ban", {"ignore": ["me.example.com"]}, "is not an address or network"),
        ("updates", {"reboot": 240}, 'write "04:00", in quotes, or never'),
        ("updates", {"reboot": "4:00"}, "is not a time of day"),
        ("updates", {"docker": "later"}, "is not a rule for Docker"),
        ("kernel", {"values": {"tcp_syncookies": 1}}, "is not a kernel setting"),
        ("kernel", {"values": {"net.ipv4.ip_forward": "1\nx=1"}}, "is not a value of a kernel setting"),
        ("kernel", {"values": {"net.ipv4.ip_forward": 0}}, "0 would break this host: Docker's published"),
        ("kernel", {"values": {"net.ipv4.conf.all.accept_redirects": 1}}, "1 would not last: the"),
        ("kernel", {"values": {"net.ipv4.icmp_echo_ignore_all": "1"}}, "would not last: the firewall sets 0"),
        ("kernel", {"values": {"net.netfilter.nf_conntrack_tcp_be_liberal": 0}}, "the firewall sets 1 at"),
        ("kernel", {"values": {"kernel.sysrq": 4}, "only": ["net."]}, "is not managed: only lists net."),
        ("kernel", {"only": ["net.x"]}, "matches none of our settings"),
        (
            "ssh",
            {"options": {"AuthorizedKeysCommand": "/usr/bin/keys %u", "AuthorizedKeysCommandUser": "keys"}},
            "may need the cloud's metadata",
        ),
        ("kernel", {"only": ["kernel."]}, "a local user could listen in the place of a container"),
        (
            "kernel",
            {"values": {"net.ipv4.ip_unprivileged_port_start": None}},
            "a local user could listen in the place of a container",
        ),
        ("firewall", {"public": {"8443": {}}}, "is not a port with its protocol"),
        ("firewall", {"outside": ["a b"]}, "is not the name of a network interface"),
        ("firewall", {"outside": ["docker0"]}, "is a bridge that Docker made"),
        ("firewall", {"outside": ["br-0123456789ab"]}, "is a bridge that Docker made"),
        ("upkeep", {"journal": "500"}, "is not a size"),
        ("upkeep", {"swap": 2}, "is not a size of swap"),
        ("upkeep", {"notify": "mail ops"}, "is not a list"),
        ("upkeep", {"notify": ["mail", "ops"]}, "does not begin with the whole path of a program"),
        ("upkeep", {"notify": ["/usr/bin/"]}, "does not begin with the whole path of a program"),
        ("upkeep", {"notify": ["/usr/../tell"]}, "does not begin with the whole path of a program"),
        ("upkeep", {"notify": []}, "does not begin with the whole path of a program"),
        ("fail2ban", {"ignore": ["0.0.0.0/0"]}, "contains every address"),
        ("dockerEngine", {"bip": "10.0.0.1/8"}, "is too wide"),
        ("dockerEngine", {"bip": "198.18.0.1/16"}, "is not a private network"),
        ("dockerEngine", {"addressPools": [{"base": "172.17.0.0/16"}]}, "overlap: "),
        ("dockerEngine", {"addressPools": [{"base": "203.0.114.0/24"}]}, "is not a private network"),
        ("dockerEngine", {"addressPools": [{"base": "10.0.0.0/26", "size": 24}]}, "24 does not fit into 10."),
    ],
)  # fmt: skip
def test_a_fault_has_path_reason_and_hint(path: str, value: Any, words: str) -> None:
    found = faults(changed(f"hosts.web1.{path}", value))
    assert len(found) == 1, found
    assert words in found[0]
    assert found[0].startswith(f"portcullis:hosts.web1.{path}.")


@pytest.mark.parametrize(
    ("host", "path", "words"),
    [
        (
            {"address": "10.0.0.5", "dockerEngine": {"bip": "10.0.0.1/16"}},
            "bip",
            "10.0.0.0/16 for containers contains 10.0.0.5, the address of this host",
        ),
        ({"address": "172.17.5.4"}, "bip", "172.17.0.0/16 for containers contains 172.17.5.4"),
        ({"address": "172.18.5.4"}, "addressPools", "172.18.0.0/16, the default, contains 172.18.5.4"),
        (
            {"jump": {"address": "10.9.0.1", "hostKey": KEY},
             "dockerEngine": {"addressPools": [{"base": "10.9.0.0/16"}]}},
            "addressPools",
            "10.9.0.0/16 for containers contains 10.9.0.1, the address of its jump host",
        ),
        (
            {"fail2ban": {"ignore": ["172.17.0.0/24", "2001:db8::/32"]}},
            "bip",
            "contains 172.17.0.0/24, which fail2ban.ignore names: this address would",
        ),
    ],
)  # fmt: skip
def test_container_networks_must_not_contain_other_addresses(
    host: dict[str, Any], path: str, words: str
) -> None:
    config = smallest()
    config["hosts"]["web1"] |= host
    [line] = faults(config)
    assert line.startswith(f"portcullis:hosts.web1.dockerEngine.{path}: ")
    assert words in line


def test_a_host_in_a_private_network_outside_the_container_networks() -> None:
    assert load(changed("hosts.web1.address", "172.19.0.4"))
    assert load(changed("hosts.web1.address", "web1.example.com"))


def test_options_that_restrict_ssh_further_are_accepted() -> None:
    options = {
        "PasswordAuthentication": "no",
        "AuthenticationMethods": "publickey,publickey publickey,password",
        "PubkeyAuthentication": "yes",
    }
    assert load(changed("hosts.web1.ssh", {"options": options})).hosts["web1"].ssh.options == options


@pytest.mark.parametrize("port", [80, 443])
def test_ssh_and_nginx_have_different_ports(port: int) -> None:
    config = changed("hosts.web1.port", port)
    [line] = [line for line in faults(config) if line.startswith("portcullis:hosts.")]
    assert line.startswith(f"portcullis:hosts.web1.port: {port} is a port of nginx")
    assert load(config | {"sites": {}}).hosts["web1"].port == port


def test_the_deploying_user_needs_a_key_and_sudo() -> None:
    config = smallest()
    config["hosts"]["web1"] |= {"user": "deploy", "bootstrap": {}}
    [line] = faults(config)
    assert line.startswith("portcullis:hosts.web1.users: does not declare deploy, the user that deploys")
    config["hosts"]["web1"]["users"] = {"deploy": {}}
    assert [line.split(": ")[0] for line in faults(config)] == [
        "portcullis:hosts.web1.users.deploy.keys",
        "portcullis:hosts.web1.users.deploy.sudo",
    ]


def test_a_user_of_the_providers_image_must_be_declared_too() -> None:
    config = smallest()
    config["hosts"]["web1"] |= {"user": "debian"}
    [line] = faults(config)
    said = "portcullis:hosts.web1.users: does not declare debian, the user that deploys; write debian: "
    assert line.startswith(said)


def test_the_moved_ssh_port_is_opened_for_ssh() -> None:
    config = changed("hosts.web1.firewall", {"allow": {"2222/tcp": {}, "22/tcp": {}, "2222/udp": {}}})
    config["hosts"]["web1"]["port"] = 2222
    [line] = faults(config)
    assert "allow.2222/tcp: covers port 2222" in line


def test_a_host_without_sites_may_open_80_and_443() -> None:
    config = smallest() | {"sites": {}}
    config["hosts"]["web1"]["firewall"] = {"allow": {"443/tcp": {}}}
    assert load(config).hosts["web1"].firewall.allow


def test_the_egress_of_an_app() -> None:
    config = changed("apps.api.egress", ["203.0.113.7:443/tcp", "[2001:db8::/32]:443/tcp", "*:53/udp"])
    assert len(load(config).apps["api"].egress or ()) == 3
    assert load(changed("apps.api.egress", [])).apps["api"].egress == ()
    assert load(smallest()).apps["api"].egress is None
    for wrong, words in {
        "api.stripe.com:443": "is not an address or network",
        "203.0.113.7:443": "is not an address or network",
        "*": "add ports",
    }.items():
        [line] = faults(changed("apps.api.egress", [wrong]))
        assert line.startswith("portcullis:apps.api.egress[0]: ")
        assert words in line


def test_a_long_value_is_cut_inside_its_quotes() -> None:
    [line] = faults(changed("apps.api.egress", ["x" * 100]))
    assert f': "{"x" * 58}…" is not' in line
