"""The keys of a host that harden it: who logs in, what is open, who is banned, what is kept up."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from portcullis.components.docker import render as daemon_json
from portcullis.components.firewall.render import ufw_sysctl
from portcullis.components.kernel import render as sysctl
from portcullis.components.ssh.render import sshd_refused
from portcullis.settings import forms
from portcullis.settings.faults import Place
from portcullis.settings.kinds import Choice, Field, Flag, ListOf, MapOf, Number, Section
from portcullis.settings.model import (
    DockerEngineSettings,
    ExposureSettings,
    Fail2banSettings,
    FirewallRule,
    FirewallSettings,
    KernelSettings,
    Pool,
    PreviewSettings,
    SshSettings,
    UpdatesSettings,
    UpkeepSettings,
    UserSettings,
)
from portcullis.settings.proxy import PROXY

if TYPE_CHECKING:
    from collections.abc import Mapping


def _ssh(raw: Mapping[str, Any], at: Place) -> None:
    options = raw.get("options")
    if not isinstance(options, dict):
        return
    texts = {str(name): forms.SSHD_VALUE.read(value, Place("")) for name, value in options.items()}
    # A value that is wrong in itself has been reported already.
    for name, why, how in sshd_refused.refusals({k: v for k, v in texts.items() if v is not None}):
        at.key("options").key(name).report(why, how)


def _user(raw: Mapping[str, Any], at: Place) -> None:
    """On the host a key is one line, whatever it is called here."""
    keys, named = raw.get("keys"), dict[str, str]()
    for name, line in keys.items() if isinstance(keys, dict) else ():
        key = " ".join(str(line).split()[:2])
        if key in named:
            at.key("keys").key(str(name)).report(f"is the same key as {named[key]}", "keep one of the two")
        named.setdefault(key, str(name))


def _allowed(raw: Mapping[str, Any], at: Place) -> None:
    if "from" in raw and raw["from"] in (None, []):
        at.key("from").report(
            "names nobody", "take the whole rule out, or leave from out where everybody may: `8443/tcp: {}`"
        )


def _previewed(raw: Mapping[str, Any], at: Place) -> None:
    if "from" in raw and raw["from"] in (None, []):
        at.key("from").report(
            "names nobody",
            "take preview out, or leave from out where it may come from anywhere: `preview: {}`",
        )


def _pool(raw: Mapping[str, Any], at: Place) -> None:
    base, size = str(raw.get("base")), raw.get("size")
    prefix = base.rpartition("/")[2]
    if isinstance(size, int) and prefix.isdigit() and size < int(prefix):
        at.key("size").refuse(size, f"does not fit into {base}", f"write a number from {prefix} to 29")


def reached(raw: Mapping[str, Any], at: Place) -> None:
    """Check that no network of containers holds an address that a host has, or is reached from.

    Args:
        raw: a whole host.
        at: its place.
    """
    engine, jump, ban = (raw.get(key) for key in ("dockerEngine", "jump", "fail2ban"))
    # What is wrong in itself has been reported already.
    read = DOCKER_ENGINE.read(engine or {}, Place(""))
    if read is None:
        return
    owners = {str(raw.get("address")): "the address of this host"}
    if isinstance(jump, dict):
        owners.setdefault(str(jump.get("address")), "the address of its jump host")
    ignore = ban.get("ignore") if isinstance(ban, dict) else None
    for network in ignore if isinstance(ignore, list) else ():
        if not str(network).endswith("/0"):
            owners.setdefault(str(network), "which fail2ban.ignore names")
    own = str(ipaddress.IPv4Interface(read.bip).network)
    for taken, text in daemon_json.swallowed(read.bip, read.address_pools, list(owners)):
        place = at.key("dockerEngine").key("bip" if taken == own else "addressPools")
        where = f"{taken} for containers" if read.address_pools or taken == own else f"{taken}, the default,"
        place.report(
            f"{where} holds {text}, {owners[text]}: it could not be reached any more",
            "take others: `{bip: 192.168.240.1/24, addressPools: [{base: 192.168.224.0/20}]}`",
        )


def _docker_engine(raw: Mapping[str, Any], at: Place) -> None:
    """Check what overlaps; a value that is wrong in itself has been reported already."""
    entries = raw.get("addressPools")
    pools = [POOL.read(entry, Place("")) for entry in entries] if isinstance(entries, list) else []
    bip = forms.BRIDGE.read(raw.get("bip", "172.17.0.1/16"), Place(""))
    if bip is None or None in pools:
        return
    try:
        if not pools:
            daemon_json.pools_beside(bip)
    except ValueError as error:
        at.key("bip").refuse(bip, f"is too wide: {error}", "take a smaller network, such as /16")
    for one, other in daemon_json.collisions(bip, [pool for pool in pools if pool]):
        at.key("addressPools").report(f"overlap: {one} and {other}", "keep them apart")


def _fail2ban(raw: Mapping[str, Any], at: Place) -> None:
    ignore = raw.get("ignore")
    for index, text in enumerate(ignore if isinstance(ignore, list) else ()):
        if str(text).endswith("/0"):
            at.key("ignore").item(index).refuse(text, "is every address", "nobody would ever be banned")


def _upkeep(raw: Mapping[str, Any], at: Place) -> None:
    notify = raw.get("notify")
    program = str(notify[0]) if isinstance(notify, list) and notify else ""
    if isinstance(notify, list) and not forms.is_program(program):
        at.key("notify").refuse(notify, "begins with no program by its whole path", "write [/usr/…]")


SSH = Section(
    "an SSH server",
    SshSettings,
    (
        Field(
            "rootLogin",
            Choice("a rule for root", ("prohibit-password", "no"), {"yes": "passwords get no one in"}),
            "root by key only (`prohibit-password`), or not at all (`no`)",
            "prohibit-password",
        ),
        Field(
            "options",
            MapOf(forms.SSHD_KEYWORD, forms.SSHD_VALUE),
            "single options of sshd_config that differ from ours: `MaxSessions: 20`",
            {},
        ),
    ),
    _ssh,
)

USER = Section(
    "a user",
    UserSettings,
    (
        Field(
            "keys",
            MapOf(forms.KEY_NAME, forms.LOGIN_KEY),
            "the public keys that let them in, by a name for each; any other key on the host is drift",
            {},
        ),
        Field("sudo", Flag(), "may become root without a password", default=False),
    ),
    _user,
)

PREVIEW = Section(
    "who may preview",
    PreviewSettings,
    (
        Field(
            "from",
            ListOf(forms.NETWORK),
            "the addresses and networks that the key may come from; without it every address",
            (),
            name="sources",
        ),
    ),
    _previewed,
)

RULE = Section(
    "a rule of the firewall",
    FirewallRule,
    (
        Field(
            "from",
            ListOf(forms.NETWORK),
            "the addresses and networks that may; without it everybody",
            (),
            name="sources",
        ),
    ),
    _allowed,
)

FIREWALL = Section(
    "a firewall",
    FirewallSettings,
    (
        Field(
            "allow",
            MapOf(forms.RULE, RULE),
            "ports of the host itself that are open beside those of SSH and nginx: "
            '`"8443/tcp": {from: [203.0.113.0/24]}`',
            {},
        ),
        Field(
            "public",
            MapOf(forms.RULE, RULE),
            "published ports of containers that the world may use; the forward filter drops every other one, "
            "whatever Docker publishes",
            {},
        ),
        Field(
            "outside",
            ListOf(forms.OUTSIDE),
            "interfaces that are bridges and lead to the world, as on hosts of virtual machines; every other "
            "bridge counts as one of containers",
            (),
        ),
        Field(
            "logging",
            Choice("a level of ufw's log", ("off", "low", "medium", "high", "full"), {}),
            "how much ufw logs of what it refuses",
            "low",
        ),
    ),
)

FAIL2BAN = Section(
    "fail2ban",
    Fail2banSettings,
    (
        Field("ignore", ListOf(forms.NETWORK), "addresses and networks that are never banned", ()),
        Field("maxRetry", Number("a number of tries", 1, 1000), "failed logins until the ban", 5),
        Field("findTime", forms.DURATION, "within which they count", "10m"),
        Field("banTime", forms.DURATION, "how long the first ban lasts; repeated ones last longer", "7d"),
    ),
    _fail2ban,
)

UPDATES = Section(
    "updates",
    UpdatesSettings,
    (
        Field(
            "reboot",
            forms.REBOOT,
            "when the host may reboot after an update that needs it (its own time zone), or `never`",
            "04:00",
        ),
        Field(
            "docker",
            Choice("a rule for Docker", ("hold", "upgrade"), {}),
            "whether Docker is upgraded with the rest, which restarts the engine and leaves containers "
            "running, or left to you (`hold`)",
            "upgrade",
        ),
    ),
)


def _kernel(raw: Mapping[str, Any], at: Place) -> None:
    values, only = raw.get("values"), raw.get("only")
    managed = tuple(map(str, only)) if isinstance(only, list) and only else ("",)
    for key, value in values.items() if isinstance(values, dict) else ():
        text, place = forms.SYSCTL_VALUE.read(value, Place("")) or "", at.key("values").key(str(key))
        ufw = ufw_sysctl.VALUES.get(str(key), text)
        if why := sysctl.refusal(str(key), text):
            place.refuse(value, f"would break this host: {why}", "leave it out")
        elif text != ufw:
            place.refuse(value, f"would not last: the firewall sets {ufw} at every start", "leave it out")
        elif not str(key).startswith(managed):
            place.report(f"is not managed: only says {', '.join(managed)}", "leave it out, or add to only")
    if not any(key.startswith(managed) for key in sysctl.DEFAULTS):
        at.key("only").refuse(only, "keeps none of our settings", "write net., or leave it out")


KERNEL = Section(
    "kernel settings",
    KernelSettings,
    (
        Field(
            "values",
            MapOf(forms.SYSCTL, forms.SYSCTL_VALUE),
            "single settings that differ from ours: `net.ipv4.conf.all.rp_filter: 2`",
            {},
        ),
        Field(
            "only",
            ListOf(forms.SYSCTL_PREFIX),
            "manage only settings that begin so, as where the kernel is shared: `[net.]`",
            (),
        ),
    ),
    _kernel,
)

UPKEEP = Section(
    "upkeep",
    UpkeepSettings,
    (
        Field("journal", forms.SIZE, "how much room the journal may take", "500M"),
        Field(
            "imagePrune",
            Choice("a rule for images", ("daily", "weekly", "monthly", "never"), {}),
            "how often container images that nothing uses are removed",
            "weekly",
        ),
        Field(
            "timeSync",
            Flag(),
            "keep the clock right with systemd-timesyncd; `false` where another program does, and on a host "
            "that is itself a container",
            default=True,
        ),
        Field("swap", forms.SWAP, "size of the swap file, or `none`", "none"),
        Field(
            "notify",
            ListOf(forms.ARGUMENT),
            "the command on the host that is told of a unit that failed; it gets the unit's name",
            None,
        ),
    ),
    _upkeep,
)

POOL = Section(
    "an address pool",
    Pool,
    (
        Field("base", forms.POOL, "the network that they are cut from"),
        Field("size", Number("a prefix", 8, 29), "the prefix of each: 24 gives room for 253 containers", 24),
    ),
    _pool,
)

DOCKER_ENGINE = Section(
    "a Docker engine",
    DockerEngineSettings,
    (
        Field(
            "bip",
            forms.BRIDGE,
            "address and prefix of docker0, the only address that containers are published on; "
            "move it where your provider or a VPN uses 172.17.0.0/16",
            "172.17.0.1/16",
        ),
        Field(
            "addressPools",
            ListOf(POOL),
            "where the networks of containers come from, instead of Docker's own choice: "
            "`[{base: 10.200.0.0/16, size: 24}]`",
            (),
        ),
    ),
    _docker_engine,
)

EXPOSURE = Section(
    "an exposure",
    ExposureSettings,
    (
        Field(
            "accept",
            MapOf(forms.EXPOSED, forms.REASON),
            "what may listen, be published or be let through beside what is declared, and why: "
            '`"udp4 0.0.0.0:5353": mDNS for a printer`; copy the key from the line of difference',
            {},
        ),
    ),
)

FIELDS = (
    Field("ssh", SSH, "its SSH server", SSH.empty()),
    Field("users", MapOf(forms.LOGIN, USER), "the people and machines that log in, by user name", {}),
    Field(
        "preview",
        PREVIEW,
        "lets the stack's preview key look at the host, and neither read a secret nor change anything: `{}`",
        None,
    ),
    Field("firewall", FIREWALL, "what is open beside SSH, 80 and 443", FIREWALL.empty()),
    Field("fail2ban", FAIL2BAN, "who is banned, and for how long", FAIL2BAN.empty()),
    Field("updates", UPDATES, "unattended security upgrades", UPDATES.empty()),
    Field("kernel", KERNEL, "kernel settings", KERNEL.empty()),
    Field("upkeep", UPKEEP, "logs, images, swap, and who is told when a unit fails", UPKEEP.empty()),
    Field("dockerEngine", DOCKER_ENGINE, "what is particular about its Docker engine", DOCKER_ENGINE.empty()),
    Field("proxy", PROXY, "what holds for all its sites", PROXY.empty()),
    Field("exposure", EXPOSURE, "what it may expose beside what is declared", EXPOSURE.empty()),
)
