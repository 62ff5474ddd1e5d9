"""Small container images, built here byte for byte the same each time and pushed to the lab's registry.

No public registry is needed: an image is a busybox out of Debian's package and a few files. Fixed times and
order make its digest a function of its content (OCI image format: github.com/opencontainers/image-spec).
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import urllib.error
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin
from urllib.request import Request, urlopen

from lab import debian, registry
from lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
# What every image of Debian has, and what looks about for the tests (httpd, nc, ps, wget).
_APPLETS = """
awk base64 basename cat chmod chown cp cut date dd df dirname du echo env expr false find grep gunzip
gzip head hostname httpd id kill ln ls md5sum mkdir mktemp mv nc nproc printf ps pwd readlink realpath rm
rmdir sed seq sh sha256sum sleep sort stat sync tail tar tee test timeout touch tr true tty uname uniq wc
wget which whoami xargs
"""
_NOBODY = "65534:65534"
_PATH = "/usr/local/bin:/usr/bin:/bin"
_LEVEL = 1  # of compression: a layer goes a short way, and the hardest costs five times as long


@dataclass(frozen=True, slots=True)
class Image:
    """An image of one layer: a busybox with its commands, and ``files``, by paths without the first slash.

    A file is its content, or where that is; ``links`` are symbolic ones, to what each points at. ``folders``
    are those that belong to a user of their own, by its number; a volume is one of these that the image
    declares as such.
    """

    name: str
    command: Sequence[str]
    tag: str = "latest"
    files: Mapping[str, bytes | Path] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    user: str = _NOBODY
    port: int | None = None
    healthcheck: Sequence[str] = ()
    entrypoint: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, int] = field(default_factory=dict)
    volumes: Sequence[str] = ()
    workdir: str = ""

    @property
    def tagged(self) -> str:
        """Return its name and tag."""
        return f"{self.name}:{self.tag}"

    @property
    def key(self) -> str:
        """Return what differs when the image may differ; a file that is elsewhere is not read for it."""
        digest = sha256()
        for path, content in sorted(self.files.items()):
            if isinstance(content, Path):
                found = content.stat()
                digest.update(f"{path} {found.st_size} {found.st_mtime_ns} ".encode())
            else:
                digest.update(f"{path} {sha256(content).hexdigest()} ".encode())
        rest = {name: getattr(self, name) for name in self.__slots__ if name != "files"}
        digest.update(json.dumps([rest, _APPLETS, _LEVEL], sort_keys=True).encode())
        return digest.hexdigest()


def hello(version: str = "1") -> Image:
    """Return the demo: one page on port 8080, served as nobody; it needs no capability and writes nothing."""
    page = f"<!doctype html><title>hello</title><h1>Hello from a container</h1><p>version {version}</p>\n"
    return Image(
        name="hello",
        tag=version,
        command=("/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/www"),
        files={"www/index.html": page.encode(), "www/healthz": b"ok\n"},
        port=8080,
        healthcheck=("/bin/busybox", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8080/healthz"),
    )


@dataclass(frozen=True, slots=True)
class Built:
    """The bytes of an image. ``digest`` is what a pull by digest names."""

    image: Image
    layer: bytes
    config: bytes
    manifest: bytes

    @property
    def digest(self) -> str:
        """Return the digest of the manifest."""
        return _digest(self.manifest)

    @property
    def reference(self) -> str:
        """Return what a host pulls: name and digest."""
        return f"{registry.NAME}/{self.image.name}@{self.digest}"

    @property
    def tagged(self) -> str:
        """Return the name with the tag, as a person writes it."""
        return f"{registry.NAME}/{self.image.name}:{self.image.tag}"


def build(image: Image) -> Built:
    """Build it in memory."""
    tar = _tar({"bin/busybox": _busybox(), **image.files}, image.links, image.folders)
    layer = gzip.compress(tar, _LEVEL, mtime=0)
    config: dict[str, Any] = {
        "architecture": _architecture(),
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "Cmd": list(image.command),
            "User": image.user,
            "Env": [f"{name}={value}" for name, value in {"PATH": _PATH, **image.env}.items()],
        },
        "rootfs": {"type": "layers", "diff_ids": [_digest(tar)]},
    }
    if image.entrypoint:
        config["config"]["Entrypoint"] = list(image.entrypoint)
    if image.workdir:
        config["config"]["WorkingDir"] = image.workdir
    if image.volumes:
        config["config"]["Volumes"] = {volume: {} for volume in image.volumes}
    if image.port:
        config["config"]["ExposedPorts"] = {f"{image.port}/tcp": {}}
    if image.healthcheck:
        second = 1_000_000_000
        config["config"]["Healthcheck"] = {
            "Test": ["CMD", *image.healthcheck],
            "Interval": 5 * second,
            "Timeout": 3 * second,
            "Retries": 3,
        }
    config_bytes = json.dumps(config, sort_keys=True).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": {"mediaType": _CONFIG, "size": len(config_bytes), "digest": _digest(config_bytes)},
        "layers": [{"mediaType": _LAYER, "size": len(layer), "digest": _digest(layer)}],
    }
    return Built(image, layer, config_bytes, json.dumps(manifest, sort_keys=True).encode())


def push(image: Image) -> Built:
    """Build it, push it under its tag, and return it.

    Raises:
        LabError: the registry refuses or is not there.
    """
    built = build(image)
    base = f"https://{registry.NAME}/v2/{image.name}"
    for blob in (built.layer, built.config):
        if not _there(f"{base}/blobs/{_digest(blob)}"):
            place = _call("POST", f"{base}/blobs/uploads/").headers["Location"]
            place = urljoin(base, place)
            sign = "&" if "?" in place else "?"
            _call("PUT", f"{place}{sign}digest={_digest(blob)}", blob, "application/octet-stream")
    _tag(image, built.manifest)
    return built


def offered(image: Image, manifest: bytes) -> bool:
    """Return whether the registry has this manifest of the image; then it gets the image's tag."""
    base = f"https://{registry.NAME}/v2/{image.name}/manifests"
    if not _there(f"{base}/{_digest(manifest)}", _MANIFEST):
        return False
    _tag(image, manifest)
    return True


def _tag(image: Image, manifest: bytes) -> None:
    """Let the image's tag be this manifest, unless it is.

    The registry writes a tag in place: who asks for it in that moment is answered with an error, and every
    host that is raised pushes the lab's own images.
    """
    url = f"https://{registry.NAME}/v2/{image.name}/manifests/{image.tag}"
    try:
        now = _request("HEAD", url, accepted=_MANIFEST).headers["Docker-Content-Digest"]
    except urllib.error.HTTPError:
        now = ""
    if now != _digest(manifest):
        _call("PUT", url, manifest, _MANIFEST)


def _there(url: str, accepted: str = "*/*") -> bool:
    try:
        _request("HEAD", url, accepted=accepted)
    except urllib.error.HTTPError:
        return False
    return True


def _call(method: str, url: str, body: bytes | None = None, kind: str = "") -> Any:
    try:
        return _request(method, url, body, kind)
    except urllib.error.HTTPError as error:
        raise LabError(
            f"the lab's registry refused {method} {url}: {error} {error.read()[:200]!r}"
        ) from error
    except urllib.error.URLError as error:
        raise LabError(
            f"the lab's registry does not answer: {error.reason}", "run `make demo` or `lab.py up`"
        ) from error


def _request(
    method: str, url: str, body: bytes | None = None, kind: str = "", *, accepted: str = "*/*"
) -> Any:
    headers = {"Accept": accepted, **({"Content-Type": kind} if kind else {})}
    with urlopen(Request(url, body, headers, method=method), timeout=30, context=registry.trust()) as answer:  # noqa: S310
        answer.read()
        return answer


def _digest(data: bytes) -> str:
    return f"sha256:{sha256(data).hexdigest()}"


@cache
def _busybox() -> bytes:
    return debian.program("busybox-static", "/bin/busybox").read_bytes()


def _architecture() -> str:
    machine = _busybox()[18:20]  # e_machine of the ELF header
    return {b"\x3e\x00": "amd64", b"\xb7\x00": "arm64"}.get(machine, "amd64")


def _tar(files: Mapping[str, bytes | Path], links: Mapping[str, str], owned: Mapping[str, int]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        links = {**{f"bin/{applet}": "busybox" for applet in _APPLETS.split()}, **links}
        # An image's own program of that name is meant; Docker refuses a path that comes twice.
        links = {path: target for path, target in links.items() if path not in files}
        folders = {parent for path in [*files, *links, *owned] for parent in _parents(path)}
        for folder in sorted({*folders, *owned, "tmp"}):
            entry = tarfile.TarInfo(folder)
            entry.type = tarfile.DIRTYPE
            entry.mode = 0o1777 if folder == "tmp" else 0o755
            entry.uid = entry.gid = owned.get(folder, 0)
            tar.addfile(entry)
        for path, target in sorted(links.items()):
            link = tarfile.TarInfo(path)
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)
        for path, where in sorted(files.items()):
            content = where.read_bytes() if isinstance(where, Path) else where
            entry = tarfile.TarInfo(path)
            entry.mode = (
                0o755 if path.startswith("bin/") or content.startswith((b"\x7fELF", b"#!")) else 0o644
            )
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: end + 1]) for end in range(len(parts))]
