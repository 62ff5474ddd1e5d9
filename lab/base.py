"""The root file system of a host: the programs of a fresh VPS, without those that Portcullis installs.

mmdebstrap builds this file system once for each recipe. The Docker engine imports it as an image of one
layer. The variant `-cloud` also has Debian's cloud-init, as the images of cloud providers do.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from lab import debian, docker29, gateway, keys
from lab.errors import LabError
from lab.places import cache, made
from lab.shell import run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.engine import Engine
    from lab.shell import Progress

REPOSITORY = "portcullis-lab"
SUITES = {"trixie": "debian-13", "bookworm": "debian-12"}

_PACKAGES = (
    "systemd,systemd-sysv,dbus,libpam-systemd,openssh-server,sudo,python3,ca-certificates,curl,iproute2,iputils-ping,"
    "netbase,nftables,iptables,procps,kmod,cron,less"
)

# A host has no hardware and no terminal. Mounts and clocks belong to the machine.
_MASKED = (
    "systemd-udevd.service systemd-udevd-kernel.socket systemd-udevd-control.socket "
    "systemd-udev-trigger.service "
    "systemd-modules-load.service sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount "
    "dev-hugepages.mount dev-mqueue.mount getty.target console-getty.service systemd-remount-fs.service"
)


@dataclass(frozen=True, slots=True)
class _Base:
    """What a base is made of. Its tag is a hash of that."""

    suite: str
    name: str
    mirror: str
    certificate: str
    packages: Path | None

    @property
    def tag(self) -> str:
        hooks = _hooks(Path(), self.packages)
        recipe = [self.suite, self.mirror, _PACKAGES, _MASKED, self.certificate, *hooks]
        return sha256("\n".join(recipe).encode()).hexdigest()[:16]

    @property
    def tar(self) -> Path:
        return made(cache() / "bases") / f"{self.name}-{self.tag}.tar"


def ensure(engine: Engine, suite: str, progress: Progress) -> str:
    """Return the image of a host of that Debian suite, built if the engine has none of this recipe.

    Raises:
        LabError: an unknown suite, or Debian's mirror cannot be reached.
    """
    base = _base(suite, progress)
    repository = f"{REPOSITORY}/{base.name}"
    image = f"{repository}:{base.tag}"
    if not engine.has_image(image):
        if not base.tar.exists():
            progress.say(f"building a bare {base.name} (about 30 s, once)")
            _bootstrap(base)
        progress.say(f"importing the bare {base.name} into the engine")
        engine.import_image(base.tar, repository, base.tag)
        engine.remove_images(repository, keep=image)
    return image


def missing(progress: Progress) -> list[str]:
    """Return the suites whose base is not in the cache."""
    return [suite for suite in SUITES if not _base(suite, progress).tar.exists()]


def _base(suite: str, progress: Progress) -> _Base:
    if suite not in SUITES:
        raise LabError(
            f"the lab has no hosts with the Debian suite {suite!r}", f"choose one of {', '.join(SUITES)}"
        )
    # Its dependencies are in Debian 13; on 12 it stays Debian's own.
    variant = docker29.asked_for() if suite == "trixie" else ""
    return _Base(
        suite,
        name=f"{SUITES[suite]}-docker-{variant}" if variant else SUITES[suite],
        mirror=_mirror(),
        certificate=keys.authority().certificate.read_text(),
        packages=docker29.repository(variant, progress) if variant else None,
    )


def _bootstrap(base: _Base) -> None:
    with TemporaryDirectory() as folder:
        files = Path(folder)
        (files / "portcullis-lab.crt").write_text(base.certificate)
        (files / "80proxy").write_text(
            f'// The lab\'s cache of packages.\nAcquire::http::Proxy "{gateway.PROXY}";\n'
        )
        options = ["--variant=minbase", f"--include={_PACKAGES}", *_hooks(files, base.packages)]
        bootstrap(base.tar, base.suite, options)


def bootstrap(tar: Path, suite: str, options: Sequence[str], *variables: str) -> None:
    """Make a root file system of Debian with mmdebstrap. The gateway must run, because its cache is used.

    ``variables`` of mmdebstrap's environment have the form NAME=VALUE.

    Raises:
        LabError: Debian's mirror cannot be reached, or a hook failed.
    """
    new = tar.with_suffix(".new")
    proxy = f'--aptopt=Acquire::http::Proxy "{gateway.PROXY}"'
    # In a mount namespace of its own, a killed build leaves no /proc mounted.
    build = ["unshare", "--mount", "env", *variables, "mmdebstrap", "--format=tar", proxy, *options]
    run([*build, suite, str(new), _mirror()], timeout=900)
    new.rename(tar)


def _mirror() -> str:
    """Return Debian's mirror without TLS, so that the gateway can keep what it has fetched."""
    return debian.mirror().replace("https://", "http://", 1)


def _hooks(files: Path, packages: Path | None) -> list[str]:
    """Return mmdebstrap's hooks: shell lines that run with the new root as $1.

    `packages` is a repository that the hosts have beside Debian's.
    """
    authorities = '"$1/usr/local/share/ca-certificates/portcullis-lab.crt"'
    lines = [
        f'install -D -m 644 "{files}/portcullis-lab.crt" {authorities}',
        'chroot "$1" update-ca-certificates',
        f'install -m 644 "{files}/80proxy" "$1/etc/apt/apt.conf.d/80proxy"',
        f'chroot "$1" systemctl mask {_MASKED}',
        'rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap"',
        # Every host gets its own keys and machine id.
        'rm -f "$1"/etc/ssh/ssh_host_* "$1/etc/machine-id"',
        'echo uninitialized > "$1/etc/machine-id"',
        'mkdir -m 700 -p "$1/root/.ssh"',
    ]
    if packages:
        repository = f'"$1/{docker29.FOLDER}"'
        lines += [
            f'mkdir -p {repository}; cp "{packages}"/* {repository}',
            f"echo '{docker29.SOURCES.strip()}' > \"$1/etc/apt/sources.list.d/lab-docker.list\"",
        ]
    return [f"--customize-hook={line}" for line in lines]
