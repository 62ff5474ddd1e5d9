"""Builds small container images and pushes them to the lab's registry. Each build gives the same bytes.

No public registry is needed: an image is a busybox from Debian's package and a few files. Times and order are
fixed, so the digest depends on the content only (OCI image format: github.com/opencontainers/image-spec).
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
# The commands of every Debian image, and some for the tests (httpd, nc, ps, wget).
_APPLETS = """
awk base64 basename cat chmod chown cp cut date dd df dirname du echo env expr false find grep gunzip
gzip head hostname httpd id kill ln ls md5sum mkdir mktemp mv nc nproc printf ps pwd readlink realpath rm
rmdir sed seq sh sha256sum sleep sort stat sync tail tar tee test timeout touch tr true tty uname uniq wc
wget which whoami xargs
"""
_NOBODY = "65534:65534"
_PATH = "/usr/local/bin:/usr/bin:/bin"
_LEVEL = 1  # level of compression: the highest level takes five times as long


@dataclass(frozen=True, slots=True)
class Image:
    """An image of one layer: a busybox with its commands, and ``files``, by path without the first slash.

    A file is given by its content, or by a path to it on this machine. ``links`` are symbolic links with
    their targets. ``folders`` are the folders that belong to another user than root, each with the user's
    number. ``volumes`` are the paths that the image declares as volumes. With ``system``, the layer is this
    tar of a whole root file system instead.
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
    stop_signal: str = ""
    system: Path | None = None

    @property
    def tagged(self) -> str:
        """The name and the tag of the image."""
        return f"{self.name}:{self.tag}"

    @property
    def key(self) -> str:
        """A key that changes if the image may have changed.

        For a file that is given by its path, the key depends only on the file's size and time.
        """
        digest = sha256()
        for path, content in sorted(self.files.items()):
            if isinstance(content, Path):
                found = content.stat()
                digest.update(f"{path} {found.st_size} {found.st_mtime_ns} ".encode())
            else:
                digest.update(f"{path} {sha256(content).hexdigest()} ".encode())
        rest = {name: getattr(self, name) for name in self.__slots__ if name != "files"}
        digest.update(json.dumps([rest, _APPLETS, _LEVEL], sort_keys=True, default=str).encode())
        return digest.hexdigest()


def hello(version: str = "1") -> Image:
    """Return the image of the demo. It serves one page on port 8080, as the user `nobody`.

    The demo needs no capability and writes nothing.
    """
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
    """The bytes of a built image. A host pulls the image by its ``digest``."""

    image: Image
    layer: bytes
    config: bytes
    manifest: bytes

    @property
    def digest(self) -> str:
        """The digest of the image's manifest."""
        return _digest(self.manifest)

    @property
    def reference(self) -> str:
        """The image reference that a host pulls: name and digest."""
        return f"{registry.NAME}/{self.image.name}@{self.digest}"

    @property
    def tagged(self) -> str:
        """The image's name with the tag, as a person writes it."""
        return f"{registry.NAME}/{self.image.name}:{self.image.tag}"


def build(image: Image) -> Built:
    """Build an image in memory."""
    if image.system:
        tar = image.system.read_bytes()
    else:
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
    if image.stop_signal:
        config["config"]["StopSignal"] = image.stop_signal
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
    """Build an image, push it under its tag, and return it.

    Raises:
        LabError: the registry refuses the image or does not answer.
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
    """Return whether the registry has this manifest of the image.

    If the registry has it, give the manifest the image's tag.
    """
    base = f"https://{registry.NAME}/v2/{image.name}/manifests"
    if not _there(f"{base}/{_digest(manifest)}", _MANIFEST):
        return False
    _tag(image, manifest)
    return True


def _tag(image: Image, manifest: bytes) -> None:
    """Point the image's tag at this manifest, unless it points there already.

    While the registry writes a tag, it answers a request for this tag with an error. Each new host pushes the
    lab's own images, so this error would occur often.
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
            f"the lab's registry does not answer: {error.reason}", "start it with `make demo` or `lab.py up`"
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
        # A program of the image replaces the link of the same name: Docker refuses a path that occurs twice.
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
