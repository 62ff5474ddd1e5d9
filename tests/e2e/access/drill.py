"""The changes of the lock-out drill. Each change looks valid, but would lock people out of the host."""

from __future__ import annotations

from dataclasses import dataclass

# The working stack before a change: the user deploy, root with a key, sshd, ufw and fail2ban.
BASE = {
    "user": 'keys={"lab": KEY}, sudo=True',
    "ssh": "",
    "listen": "",
    "firewall": "",
    "more": "",
}

PROGRAM = """
from portcullis.components import Administrators, Fail2banJail, User
from portcullis.components import Fail2ban, Fail2banArgs, Firewall, FirewallArgs, SshAccess, SshArgs
from portcullis.host import Host
from portcullis.resources import Sysctl

KEY = "{key}"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO2q8YREHwHGm/XQKhkVbx8c7BWkBJUW+xFGrlQUqG8U"
HERE = "{here}"
NETWORK = HERE.rpartition(".")[0] + ".0/24"

deploy = User("deploy", host="web1", user="deploy", {user})
after = pulumi.ResourceOptions(depends_on=[deploy])
ssh = SshAccess(
    "ssh", SshArgs({ssh}), host=Host("web1", adopt=True), login="deploy", exempt=[HERE], opts=after,
    {listen})
web1 = Host("web1")
firewall = Firewall("firewall", FirewallArgs({firewall}), host=web1, web=True,
                    opts=pulumi.ResourceOptions(depends_on=[ssh]))
bans = Fail2ban("bans", Fail2banArgs(ignore=(HERE,)), host=web1,
                opts=pulumi.ResourceOptions(depends_on=[firewall]))
last = pulumi.ResourceOptions(depends_on=[firewall, bans])
{more}
"""


@dataclass(frozen=True, slots=True)
class Hostile:
    """A dangerous change of the program, and the error that the change has to cause.

    Attributes:
        part: the part of the program that the change replaces, as a key of `BASE`.
        text: the new text of the part.
        says: words that the error must have, such as the resource.
        before: a command that runs on the host before the change.
        afterwards: a command that takes back the effect of `before`.
        on_port: the SSH port in the settings, if the change moves the port.
        by_ipv6: whether the deployment connects over IPv6.
    """

    part: str
    text: str
    says: tuple[str, ...]
    before: str = ""
    afterwards: str = ""
    on_port: int = 22
    by_ipv6: bool = False


TAKEN_BACK = "the change was taken back, and the login works again"
_REFUSES = ("UfwPolicy", "{here} could not log in on port 22 any more")
_SHELL = ("User", "refuses every login")


def _sshd(option: str, value: str, *says: str) -> Hostile:
    return Hostile("ssh", f"options={{{option!r}: {value!r}}}", ("SshServer", *says))


def _key(expression: str) -> Hostile:
    return Hostile("user", f'keys={{"lab": {expression}}}, sudo=True', ("User", TAKEN_BACK))


FILTER = (
    "printf '[Definition]\\nfailregex = Accepted publickey for .* from <HOST>\\n"
    "journalmatch = _SYSTEMD_UNIT=ssh.service + _COMM=sshd + _COMM=sshd-session\\n'"
    " > /etc/fail2ban/filter.d/greedy.conf"
)
"""A command that writes a fail2ban filter, which counts every login as an attack.

The command runs before the first `up`, because a later new file would be drift.
"""

CHANGES: dict[str, Hostile] = {
    # sshd
    "allow-users-without-us": _sshd("AllowUsers", "alice bob", "leaves out deploy, the user that deploys"),
    "deny-users-with-us": _sshd("DenyUsers", "mallory deploy", "refuses deploy, the user that deploys"),
    "allow-groups-without-us": _sshd("AllowGroups", "wheel", "leaves out deploy, the user that deploys"),
    "a-pattern-that-misses-us": _sshd(
        "AllowUsers", "deploy@192.0.2.*", "leaves out deploy, the user that deploys",
    ),
    "a-password-as-well": _sshd(
        "AuthenticationMethods", "publickey,password",
        'Disabled method "password" in AuthenticationMethods list "publickey,password"',
    ),
    "two-keys-wanted": _sshd("AuthenticationMethods", "publickey,publickey", "asks for more than one key"),
    "no-keys-at-all": _sshd(
        "PubkeyAuthentication", "no",
        "AuthenticationMethods cannot be satisfied by enabled authentication methods",
    ),
    "keys-looked-for-elsewhere": _sshd("AuthorizedKeysFile", "/etc/ssh/keys/%u", TAKEN_BACK),
    "another-kind-of-key": _sshd("PubkeyAcceptedAlgorithms", "ecdsa-sha2-nistp256", TAKEN_BACK),
    "another-host-key": _sshd("HostKey", "/etc/ssh/ssh_host_rsa_key", "the settings pin the host's"),
    "a-command-that-ends": _sshd("ForceCommand", "/bin/false", TAKEN_BACK),
    "a-root-that-is-not-there": _sshd("ChrootDirectory", "/var/empty/nowhere", TAKEN_BACK),
    "v6-only": _sshd("AddressFamily", "inet6", TAKEN_BACK),
    "another-address": _sshd("ListenAddress", "127.0.0.1", TAKEN_BACK),
    "a-server-that-does-not-start": _sshd(
        "ListenAddress", "192.0.2.77", "the change was taken back"
    ),
    "a-cipher-of-the-past": _sshd("Ciphers", "3des-cbc", TAKEN_BACK),
    "a-key-exchange-of-the-past": _sshd("KexAlgorithms", "diffie-hellman-group1-sha1", TAKEN_BACK),
    "a-cipher-that-clients-do-not-offer": _sshd("Ciphers", "aes256-cbc", TAKEN_BACK),
    "a-host-key-of-another-kind": _sshd("HostKeyAlgorithms", "rsa-sha2-512", TAKEN_BACK),
    "every-key-revoked": _sshd("RevokedKeys", "/etc/ssh/no-such-file", TAKEN_BACK),
    "sftp-and-nothing-else": _sshd("ForceCommand", "internal-sftp", TAKEN_BACK),
    "a-port-that-is-filtered-outside": Hostile(
        "listen", "port=2222", ("SshServer", TAKEN_BACK),
        before="nft 'add table inet provider; add chain inet provider in"
        " { type filter hook input priority -50; }; add rule inet provider in tcp dport 2222 drop'",
        afterwards="nft delete table inet provider", on_port=2222,
    ),
    "a-port-that-is-taken": Hostile(
        "listen", "port=8443", ("SshServer", "already listens on port 8443"),
        before="systemd-run -q --unit=squatter python3 -m http.server 8443",
        afterwards="systemctl stop squatter", on_port=8443,
    ),
    # ufw
    "our-address-denied": Hostile("firewall", 'deny={f"any from {HERE}": ""}', _REFUSES),
    "our-network-denied": Hostile("firewall", 'deny={f"any from {NETWORK}": ""}', _REFUSES),
    "ssh-denied": Hostile("firewall", 'deny={"22/tcp": "no more"}', ("UfwPolicy", "SSH server's own rule")),
    # accounts
    "our-key-replaced": _key("OTHER"),
    "our-key-from-elsewhere": _key("""f'from="192.0.2.1" {KEY}'"""),
    "our-key-for-one-command": _key("""f'command="/bin/date" {KEY}'"""),
    "our-key-from-anywhere-but-here": _key("""f'from="!{HERE},*" {KEY}'"""),
    "our-key-past-its-day": _key("""f'expiry-time="20200101" {KEY}'"""),
    "our-key-as-an-authority": _key("""f'cert-authority {KEY}'"""),
    "our-shell-taken": Hostile("user", 'keys={"lab": KEY}, sudo=True, shell="/usr/sbin/nologin"', _SHELL),
    "our-sudo-taken": Hostile("user", 'keys={"lab": KEY}, sudo=False', ("User", "could not become root")),
    # kernel
    "no-ipv6-for-who-comes-by-it": Hostile(
        "more", 'Sysctl("v6", host="web1", values={"net.ipv6.conf.all.disable_ipv6": "1"}, opts=last)',
        ("Sysctl", "an undo would not bring it back"), by_ipv6=True,
    ),
    "a-ttl-that-ends-at-the-first-router": Hostile(
        "more", 'Sysctl("ttl", host="web1", values={"net.ipv4.ip_default_ttl": "1"}, opts=last)',
        ("Sysctl", TAKEN_BACK),
    ),
    # fail2ban
    "a-jail-for-those-who-log-in": Hostile(
        "more", 'Fail2banJail("greedy", host="web1", jail="greedy", opts=last, options={"filter": "greedy",'
        ' "backend": "systemd", "maxretry": 1, "findtime": "1h", "bantime": "1h",'
        ' "banaction": "nftables[type=allports]"})', ("Fail2banJail", "the address of this session"),
    ),
}  # fmt: skip
