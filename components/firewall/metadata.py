"""The metadata addresses of clouds.

A machine gets facts about itself at such an address, often with credentials. Containers must not reach these
addresses, nor must users of the host other than root. The forward filter refuses packets to these addresses.
The policy pack requires the rules for containers, and the packet tests try each address.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_AWS = "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html"
_AWS_ECS = "https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html"
_AWS_EKS = "https://docs.aws.amazon.com/eks/latest/userguide/pod-id-agent-setup.html"
_AZURE = "https://learn.microsoft.com/en-us/azure/virtual-machines/instance-metadata-service"
_AZURE_HOST = "https://learn.microsoft.com/en-us/azure/virtual-network/what-is-ip-address-168-63-129-16"
_GOOGLE = "https://cloud.google.com/compute/docs/metadata/querying-metadata"
_ORACLE = "https://docs.oracle.com/en-us/iaas/Content/Compute/Tasks/gettingmetadata.htm"
_ORACLE_RULES = "https://docs.oracle.com/en-us/iaas/Content/Compute/References/bestpracticescompute.htm"
_ALIBABA = "https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata"
_SCALEWAY = "https://docs.cloud-init.io/en/latest/reference/datasources/scaleway.html"
_AKAMAI = "https://techdocs.akamai.com/cloud-computing/docs/metadata-service-api"
_DIGITALOCEAN = "https://docs.digitalocean.com/products/droplets/how-to/access-metadata/"
_HETZNER = "https://docs.hetzner.cloud/reference/cloud#server-metadata"


@dataclass(frozen=True, slots=True)
class Service:
    """A metadata address of a cloud.

    Attributes:
        address: an address or a network.
        cloud: the cloud that serves the address.
        source: the page that documents the address.
    """

    address: str
    cloud: str
    source: str


LINK_LOCAL = Service("169.254.0.0/16", "clouds", "https://www.rfc-editor.org/rfc/rfc3927")
"""The network of most metadata addresses. No router forwards packets to this network."""
SERVICES = (
    Service("169.254.169.254", "AWS", _AWS),
    Service("fd00:ec2::254", "AWS", _AWS),
    Service("169.254.170.2", "AWS", _AWS_ECS),
    Service("169.254.170.23", "AWS", _AWS_EKS),
    Service("fd00:ec2::23", "AWS", _AWS_EKS),
    Service("169.254.169.254", "Azure", _AZURE),
    Service("168.63.129.16", "Azure", _AZURE_HOST),
    Service("169.254.169.254", "Google", _GOOGLE),
    Service("fd20:ce::254", "Google", _GOOGLE),
    Service("169.254.169.254", "Oracle", _ORACLE),
    Service("fd00:c1::a9fe:a9fe", "Oracle", _ORACLE),
    # At this address, iSCSI serves the boot volume without a password.
    Service("169.254.0.2", "Oracle", _ORACLE_RULES),
    Service("169.254.2.0/24", "Oracle", _ORACLE_RULES),
    Service("100.100.100.200", "Alibaba", _ALIBABA),
    Service("169.254.42.42", "Scaleway", _SCALEWAY),
    Service("fd00:42::42", "Scaleway", _SCALEWAY),
    Service("169.254.169.254", "Akamai", _AKAMAI),
    Service("fd00:a9fe:a9fe::1", "Akamai", _AKAMAI),
    Service("169.254.169.254", "DigitalOcean", _DIGITALOCEAN),
    Service("169.254.169.254", "Hetzner", _HETZNER),
)
PORTS = (53, 123)
"""The ports that containers may reach at metadata addresses: some clouds serve DNS and NTP there."""


def closed() -> list[Service]:
    """Return the addresses to close: the link-local network, and metadata addresses in other networks."""
    local = ipaddress.IPv4Network(LINK_LOCAL.address)
    elsewhere = {
        service.address: service
        for service in SERVICES
        if (network := ipaddress.ip_network(service.address)).version != local.version
        or not network.subnet_of(local)
    }
    return [LINK_LOCAL, *elsewhere.values()]


def match(service: Service) -> str:
    """Return the part of an nft rule that matches packets to this service, except to `PORTS`."""
    family = "ip6" if ":" in service.address else "ip"
    return f"{family} daddr {service.address} " + " ".join(f"th dport != {port}" for port in PORTS)


def match_users(service: Service) -> str:
    """Return the part of an nft rule that matches connections of users to this service.

    DNS also uses TCP. The other traffic of a host's own programs is over UDP: DHCP, DNS and NTP.
    """
    family = "ip6" if ":" in service.address else "ip"
    return f"meta skuid != 0 {family} daddr {service.address} tcp dport != {PORTS[0]}"
