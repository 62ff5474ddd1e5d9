"""Docker 29 for hosts of the lab. Debian's own package has an older version.

The programs of Docker 29 are built once into the cache, from Go modules (tools/go/dockerd,
tools/go/docker-cli). The packages have the same names as Debian's packages, docker.io and docker-cli, so
every stack installs them without a change. containerd and runc are still Debian's packages. `LAB_DOCKER=29`
in the environment selects these packages. `LAB_DOCKER=29-nftables` selects an engine that writes its rules
with nft.
"""

from __future__ import annotations

import os
import textwrap
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from lab.errors import LabError
from lab.places import cache, made
from lab.shell import run
from tools import golang
from tools.steps import ROOT, StepError, locked

if TYPE_CHECKING:
    from lab.shell import Progress

VARIANTS = {"29": "iptables", "29-nftables": "nftables"}
"""The possible values of LAB_DOCKER, each with the firewall backend of the engine."""
FOLDER = "usr/share/lab-docker"
"""The folder of the package repository on a host."""
SOURCES = f"deb [trusted=yes] file:/{FOLDER} ./\n"

_MOBY = "github.com/moby/moby/v2"
# The release number of these sources. The module has other numbers, and a build of it reports no version.
_ENGINE_VERSION = "29.8.2"
_TAGS = "-tags=exclude_graphdriver_btrfs exclude_graphdriver_devicemapper"
_RECIPE = "3"  # raise it when the packages change but no file under tools/go does

_SERVICE = """\
[Unit]
Description=Docker Application Container Engine
Documentation=https://docs.docker.com
After=network-online.target nss-lookup.target docker.socket containerd.service time-set.target
Wants=network-online.target containerd.service
Requires=docker.socket

[Service]
Type=notify
ExecStart=/usr/sbin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock{flags}
ExecReload=/bin/kill -s HUP $MAINPID
TimeoutStartSec=0
RestartSec=2
Restart=always
StartLimitBurst=3
StartLimitInterval=60s
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
Delegate=yes
KillMode=process
OOMScoreAdjust=-500

[Install]
WantedBy=multi-user.target
"""
_SOCKET = """\
[Unit]
Description=Docker Socket for the API

[Socket]
ListenStream=/run/docker.sock
SocketMode=0660
SocketUser=root
SocketGroup=docker

[Install]
WantedBy=sockets.target
"""
_SCRIPTS = {
    "postinst": """\
        getent group docker >/dev/null || groupadd --system docker
        for unit in docker.socket docker.service; do
            deb-systemd-helper unmask $unit >/dev/null
            deb-systemd-helper enable $unit >/dev/null
        done
        if [ -d /run/systemd/system ]; then
            systemctl daemon-reload
            deb-systemd-invoke start docker.socket docker.service
        fi
    """,
    "prerm": """\
        [ ! -d /run/systemd/system ] || deb-systemd-invoke stop docker.service docker.socket
    """,
    "postrm": """\
        [ "$1" != purge ] || deb-systemd-helper purge docker.socket docker.service >/dev/null
        [ "$1" != purge ] || rm -rf /var/lib/docker
        [ ! -d /run/systemd/system ] || systemctl daemon-reload
    """,
}


def asked_for() -> str:
    """Return the value of LAB_DOCKER. "" means Debian's own Docker.

    Raises:
        LabError: the value is none of the variants.
    """
    variant = os.environ.get("LAB_DOCKER", "")
    if variant and variant not in VARIANTS:
        raise LabError(
            f"LAB_DOCKER={variant} names no version of Docker that the lab has",
            f"choose {' or '.join(VARIANTS)}",
        )
    return variant


def repository(variant: str, progress: Progress) -> Path:
    """Return a folder with the packages of a variant and their index.

    The folder is made once, in the cache.

    Raises:
        LabError: the programs cannot be built.
    """
    programs = _programs(progress)
    recipe = [_RECIPE, variant, _SERVICE, _SOCKET, *_SCRIPTS.values(), *map(str, programs.values())]
    kept = made(cache() / "docker29") / sha256("\n".join(recipe).encode()).hexdigest()[:16]
    if kept.exists():
        return kept
    with (
        locked(kept.parent, "the packages of Docker 29"),
        TemporaryDirectory(dir=kept.parent, prefix="packing-") as scratch,
    ):
        if not kept.exists():
            _pack(Path(scratch), VARIANTS[variant], programs)
            made(Path(scratch, "done")).rename(kept)
    return kept


def _programs(progress: Progress) -> dict[str, Path]:
    progress.say("Docker 29 (the first time it is built from the Go module proxy, about 5 min on two cores)")
    engine, client = ROOT / "tools/go/dockerd", ROOT / "tools/go/docker-cli"
    try:
        client_version = golang.required(client, "github.com/docker/cli").partition("+")[0]
        version = f"-ldflags=-s -w -X {_MOBY}/dockerversion.Version={_ENGINE_VERSION}"
        found = {
            f"usr/{folder}/{name}": golang.tool(engine, f"{_MOBY}/cmd/{name}", flags=[version, _TAGS])
            for folder, name in (("sbin", "dockerd"), ("bin", "docker-proxy"))
        }
        # docker-cli has no go.mod, so Go would compile it with the language version of 2021.
        flags = [
            f"-ldflags=-s -w -X github.com/docker/cli/cli/version.Version={client_version}",
            f"-gcflags=github.com/docker/cli/...=-lang=go{golang.language(client)}",
        ]
        found["usr/bin/docker"] = golang.tool(client, "github.com/docker/cli/cmd/docker", flags=flags)
    except StepError as error:
        raise LabError(f"the lab cannot build Docker 29: {error}") from error
    return found


def _pack(scratch: Path, backend: str, programs: dict[str, Path]) -> None:
    # Debian's runc 1.1 does not support the time namespace that Docker 29 gives each container.
    flags = " --feature=time-namespaces=false"
    flags += "" if backend == "iptables" else f" --firewall-backend={backend}"
    units = {"docker.service": _SERVICE.format(flags=flags), "docker.socket": _SOCKET}
    engine = scratch / "docker.io"
    for name, text in units.items():
        _write(engine / "usr/lib/systemd/system" / name, text)
    for name, text in _SCRIPTS.items():
        script = _write(engine / "DEBIAN" / name, "#!/bin/sh\nset -e\n" + textwrap.dedent(text))
        script.chmod(0o755)
    made(engine / "etc/docker")
    made(engine / "usr/bin").joinpath("docker-init").symlink_to("tini-static")
    needs = "containerd, docker-cli, init-system-helpers, iptables, nftables, passwd, runc, tini"
    _control(engine, _ENGINE_VERSION, needs)
    _control(scratch / "docker-cli", _ENGINE_VERSION, "")
    for path, program in programs.items():
        package = scratch / ("docker-cli" if path == "usr/bin/docker" else "docker.io")
        made((package / path).parent)
        run(["install", "-m", "755", str(program), str(package / path)])
    index = "\n".join(_built(scratch, name) for name in ("docker.io", "docker-cli"))
    _write(scratch / "done/Packages", index)


def _control(package: Path, version: str, needs: str) -> None:
    fields = {
        "Package": package.name,
        "Version": f"{version}+lab",
        "Architecture": run(["dpkg", "--print-architecture"]).stdout.strip(),
        "Maintainer": "the lab of Portcullis <root@localhost>",
        **({"Depends": needs} if needs else {}),
        "Description": "Docker as Docker releases it, for hosts of the lab",
    }
    _write(package / "DEBIAN/control", "".join(f"{key}: {value}\n" for key, value in fields.items()))


def _built(scratch: Path, name: str) -> str:
    """Build the package in its folder, and return its entry in the index."""
    package = made(scratch / "done") / f"{name}.deb"
    run(
        ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", str(scratch / name), str(package)],
        timeout=120,
    )
    digest = sha256(package.read_bytes()).hexdigest()
    control = (scratch / name / "DEBIAN/control").read_text()
    return f"{control}Filename: ./{package.name}\nSize: {package.stat().st_size}\nSHA256: {digest}\n"


def _write(path: Path, text: str) -> Path:
    made(path.parent).joinpath(path.name).write_text(text)
    return path
