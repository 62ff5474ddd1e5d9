"""The nftables table that decides which packets reach containers, and which destinations containers reach.

The table also keeps users of the host from the metadata of a cloud.

The table has the spelling of nft's own listing (tabs, order of words, no sets). So the live table and the
declared table can be compared line by line. nft 1.0.6 (Debian 12) and 1.1.3 (Debian 13) print the table in
the same way.

docs/hardening/firewall.md gives every number and reason behind these rules.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from portcullis.components.firewall import metadata
from portcullis.components.firewall.facts import TABLE, open_port
from portcullis.config.faults import VALUE
from portcullis.rendering import header

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PATH = "/etc/portcullis/filter.nft"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# IFNAMSIZ in linux/if.h is 16, with a zero byte at the end. Quotes and stars have a meaning for nft.
INTERFACE = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}"
DOCKERS = re.compile(r"docker0|br-[0-9a-f]{12}")
"""The bridges that Docker names itself. They lead to containers, never to the internet."""
_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?/(tcp|udp)")
_DESTINATION = re.compile(
    r"(?:\[(?P<v6>[^\]]+)\]|(?P<v4>[0-9./]+)|(?P<any>\*))(?::(?P<ports>[0-9-]+/[a-z]+))?"
)
_LAST_PORT = 65535


@dataclass(frozen=True, slots=True)
class ForwardPolicy:
    """Which packets may pass through a host.

    Attributes:
        bind_address: the address on which containers publish ports for the host alone.
        public: published ports that are open to the internet, as PORT/PROTOCOL or FIRST-LAST/PROTOCOL, each
            with the networks that may use it. An empty list means everybody.
        egress: sources of new connections, each with the only destinations that it may reach. A source is the
            name of a bridge, an address or a network. A destination is an address or network, optionally with
            ports (203.0.113.7:443/tcp, [2001:db8::/32]:443/tcp), or *:PORTS/PROTOCOL for any address.
        outside: bridges that lead to the internet, as on hosts of virtual machines. Every other bridge counts
            as a network of containers.
        host: open ports of the host itself, SSH's among them, as PORT/PROTOCOL or FIRST-LAST/PROTOCOL, each
            with the networks that may use it. An empty list means everybody. All other ports are closed to
            IPv6 and to containers, because docker-proxy may serve them. None: the table does not filter
            packets to the host itself.
        metadata_for_users: whether users of the host other than root reach the metadata service of a cloud.

    Raises:
        ValueError: a part is invalid. The error names every fault.
    """

    bind_address: str = "172.17.0.1"
    public: Mapping[str, Sequence[str]] = field(default_factory=dict)
    egress: Mapping[str, Sequence[str]] = field(default_factory=dict)
    outside: Sequence[str] = ()
    host: Mapping[str, Sequence[str]] | None = None
    metadata_for_users: bool = False

    def __post_init__(self) -> None:
        """Check every part of the forward policy."""
        faults = list(self.faults())
        if faults:
            raise ValueError("\n".join(faults))

    def faults(self) -> Iterable[str]:
        """Yield each invalid part with the reason."""
        for attribute, texts, read in (
            ("bind_address", [self.bind_address], _address),
            ("outside", self.outside, _outside),
            ("public", self.public, _ports),
            ("host", self.host or {}, _ports),
            ("egress", self.egress, _source),
        ):
            for text in texts:
                yield from _fault(attribute, text, read)
        for attribute, lists, read_one in (
            ("public", self.public, _network),
            ("host", self.host or {}, _network),
            ("egress", self.egress, _destination),
        ):
            for key, texts in lists.items():
                if isinstance(texts, str):
                    yield f"{attribute}.{key}: {texts!r} is a text; write a list"
                    continue
                for text in texts:
                    yield from _fault(f"{attribute}.{key}", text, read_one)


def table(policy: ForwardPolicy) -> str:
    """Render the table.

    Established connections come first, so that accepted connections stay open. The chain `containers` sees
    every packet from a bridge. A packet that passes it leaves the host or stays on its own bridge.
    """
    bridge_in = _bridges("iif", policy.outside)
    bridge_out = _bridges("oif", policy.outside)
    own = 'comment "published for this host alone"'
    lines = [
        f"table {TABLE} {{",
        '\tcomment "Portcullis: what reaches containers, and what they reach"',
        "\tchain forward {",
        "\t\ttype filter hook forward priority filter - 10; policy accept;",
        "\t\tct state established,related accept",
        # Docker only redirects this address. Without this rule, anybody who can send the host a packet for it
        # would reach every port published there.
        f"\t\tct original ip daddr {policy.bind_address} ct status dnat counter drop {own}",
        *_public(policy.public),
        f"\t\t{bridge_in} goto containers",
        f'\t\t{bridge_out} counter drop comment "a port that is not public, or the address of a container"',
        "\t}",
        "",
        "\tchain containers {",
        *(
            f'\t\t{metadata.match(service)} counter drop comment "metadata of {service.cloud}"'
            for service in metadata.closed()
        ),
        '\t\tct status dnat counter drop comment "ports that other containers publish"',
        # With br_netfilter, which Docker loads for icc=false, packets between neighbours on one bridge pass
        # this chain too.
        '\t\tfib daddr . iif oif exists accept comment "the same bridge"',
        '\t\tfib daddr type multicast accept comment "the same bridge: multicast is not routed"',
        f'\t\t{bridge_out} counter drop comment "containers of another bridge"',
        *_egress(policy.egress),
        "\t}",
        *_input(policy),
        *_output(policy),
        "}",
    ]
    return "\n".join(lines) + "\n"


def file(resource: str, table_text: str) -> str:
    """Render the file that loads the table in one transaction.

    The file works with and without an old table in the kernel.
    """
    return (
        header(resource, "This table says which packets the host forwards to and from containers.")
        + f"table {TABLE}\ndelete table {TABLE}\n{table_text}"
    )


def unit(resource: str) -> str:
    """Render the systemd unit that loads the file at boot.

    Debian's nftables.service is no alternative: when it starts or stops, it flushes the whole ruleset, also
    the rules of ufw and Docker.
    """
    return (
        header(resource, "This unit loads the forward filter before any network or container is up.")
        + f"""\
[Unit]
Description=Forward filter of Portcullis
Documentation=man:nft(8)
# This unit starts as early as ufw.service, so that the host forwards no packet before the filter is loaded.
DefaultDependencies=no
After=local-fs.target
Wants=network-pre.target
Before=network-pre.target docker.service shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f {PATH}
ExecReload=/usr/sbin/nft -f {PATH}
# Without an ExecStop, the filter stays in the kernel when the unit is stopped.

[Install]
WantedBy=sysinit.target
"""
    )


def _input(policy: ForwardPolicy) -> list[str]:
    """Close the ports of docker-proxy, whose sockets look like the host's own.

    Docker redirects IPv4 packets from outside, and the chain `forward` filters them. docker-proxy gets IPv6
    packets if Docker writes no rules for IPv6, and packets from containers to an address of the host.
    """
    if policy.host is None:
        return []
    redirected = 'accept comment "Docker redirects published ports to the chain forward"'
    return [
        "",
        "\tchain input {",
        "\t\ttype filter hook input priority filter - 10; policy accept;",
        "\t\tct state established,related accept",
        '\t\tiif "lo" accept',
        f'\t\tmeta nfproto ipv4 meta iifkind != "bridge" {redirected}',
        *(f'\t\tmeta nfproto ipv4 iifname "{name}" {redirected}' for name in sorted(set(policy.outside))),
        *_open(policy.host),
        *_open(policy.public),
        # RFC 8415, 5.1 and 7.2: clients ask a multicast address, so the answer comes from another address and
        # is not part of an established connection.
        '\t\tip6 saddr fe80::/10 udp sport 547 udp dport 546 accept comment "DHCPv6"',
        *(
            f'\t\tmeta l4proto {protocol} counter drop comment "docker-proxy may serve this port"'
            for protocol in ("tcp", "udp")
        ),
        "\t}",
    ]


def _output(policy: ForwardPolicy) -> list[str]:
    """Refuse connections of users to the metadata of a cloud. Answers, such as to its health checks, pass."""
    if policy.metadata_for_users:
        return []
    return [
        "",
        "\tchain output {",
        "\t\ttype filter hook output priority filter - 10; policy accept;",
        "\t\tct state established,related accept",
        *(
            f"\t\t{metadata.match_users(service)} counter reject with tcp reset"
            f' comment "metadata of {service.cloud}"'
            for service in metadata.closed()
        ),
        "\t}",
    ]


def _open(ports: Mapping[str, Sequence[str]]) -> list[str]:
    lines = []
    for text in sorted(ports, key=_ports):
        protocol, numbers = _ports(text)
        sources = [_from(_network(source)).lstrip() + " " for source in ports[text]]
        lines += [f"\t\t{source}{open_port(protocol, _range(numbers))}" for source in sorted(sources) or [""]]
    return lines


def _bridges(direction: str, outside: Sequence[str]) -> str:
    """Return a match for packets from (or to) a bridge of containers, by the type of the interface."""
    but = "".join(f' {direction}name != "{name}"' for name in sorted(set(outside)))
    return f'meta {direction}kind "bridge"{but}'


def _public(public: Mapping[str, Sequence[str]]) -> list[str]:
    """Return rules for public ports.

    They match a packet's original port, because Docker has already replaced the port.
    """
    lines = []
    for text in sorted(public, key=_ports):
        protocol, ports = _ports(text)
        match = f"ct status dnat meta l4proto {protocol} ct original proto-dst {_range(ports)}"
        sources = [_from(_network(source)) for source in public[text]]
        lines += [f"\t\t{match}{source} accept" for source in sorted(sources) or [""]]
    return lines


def _from(network: Network) -> str:
    return f" {_family(network)} saddr {_spelled(network)}"


def _egress(egress: Mapping[str, Sequence[str]]) -> list[str]:
    """Render one line for each destination of each source. The lines of the narrowest source come first."""
    lines: list[str] = []
    for source in sorted(egress, key=_narrowest_first):
        match = _source(source)
        lines += [f"\t\t{match}{to} accept" for to in sorted({_destination(to) for to in egress[source]})]
        lines.append(f"\t\t{match} counter drop")
    return lines


def _narrowest_first(source: str) -> tuple[int, str]:
    try:
        network = _network(source)
    except ValueError:
        return 0, source  # a bridge carries packets of all its networks, so it comes last
    return -network.prefixlen, source


def _source(text: str) -> str:
    try:
        network = _network(text)
    except ValueError:
        return f'iifname "{_interface(text)}"'
    return f"{_family(network)} saddr {_spelled(network)}"


def _destination(text: str) -> str:
    found = _DESTINATION.fullmatch(text)
    if found is None:
        try:
            network = _network(text)  # an IPv6 address needs no brackets without ports
        except ValueError as error:
            raise ValueError(
                f"{error}; to restrict ports, write ADDRESS:PORT/tcp, [ADDRESS]:PORT/udp or *:PORT/tcp"
            ) from None
        return f" {_family(network)} daddr {_spelled(network)}"
    where = ports = ""
    if not found["any"]:
        network = _network(found["v6"] or found["v4"])
        where = f" {_family(network)} daddr {_spelled(network)}"
    if found["ports"]:
        protocol, numbers = _ports(found["ports"])
        ports = f" {protocol} dport {_range(numbers)}"
    if not where and not ports:
        raise ValueError(
            "the value allows every destination, so it restricts nothing; add ports, such as *:443/tcp"
        )
    return where + ports


def _ports(text: str) -> tuple[str, tuple[int, int]]:
    found = _PORTS.fullmatch(text)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if found is None or not 0 < first <= last <= _LAST_PORT:
        raise ValueError("the value is not of the form PORT/tcp, PORT/udp or FIRST-LAST/tcp")
    return found[3], (first, last)


def _range(ports: tuple[int, int]) -> str:
    first, last = ports
    return str(first) if first == last else f"{first}-{last}"


def _network(text: str) -> Network:
    try:
        if "%" in text:  # Python takes any text after a % as the name of an interface
            raise ValueError  # noqa: TRY301 - the error of a library call is handled in the same way
        network = ipaddress.ip_network(text)
    except ValueError:
        raise ValueError(
            "the value is not an address or network, or it is an address inside a network: write "
            "10.1.0.0/16, not 10.1.2.3/16"
        ) from None
    if network.version == 6 and network.prefixlen and int(network.network_address) >> 48 == 0:  # noqa: PLR2004
        raise ValueError("the value is an IPv4 address written as IPv6; no packet carries such an address")
    return network


def _family(network: Network) -> str:
    return "ip" if network.version == 4 else "ip6"  # noqa: PLR2004 - the range of port numbers


def _spelled(network: Network) -> str:
    """Return the spelling of nft, in which a single address has no prefix."""
    whole = network.prefixlen == network.max_prefixlen
    return str(network.network_address if whole else network)


def _address(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise ValueError("the value is not an IPv4 address") from None


def _interface(text: str) -> str:
    if not re.fullmatch(INTERFACE, text):
        raise ValueError("the value is neither an address, a network nor the name of an interface")
    return text


def _outside(text: str) -> str:
    if DOCKERS.fullmatch(_interface(text)):
        raise ValueError(
            "the value is a bridge that Docker made for containers; as an outside interface, it would let "
            "other machines reach the containers"
        )
    return text


def _fault(attribute: str, text: object, read: object) -> Iterable[str]:
    try:
        read(text)  # type: ignore[operator]
    except ValueError as error:
        yield f"{attribute}: {text!r} {str(error).removeprefix(VALUE)}"
    except TypeError:
        yield f"{attribute}: {text!r} is not text"
