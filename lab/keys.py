"""Keys of this machine's lab, made once, in the cache: the CA, the registry's certificate, ssh keys.

These keys protect only hosts that no other machine can reach.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from lab.network import REGISTRY_ADDRESS
from lab.places import cache, made
from lab.shell import run

_CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-sha256"]
_SYSTEM_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True, slots=True)
class Authority:
    """The lab's CA: its certificate, its key, and a bundle of the machine's CAs and the lab's CA."""

    certificate: Path
    key: Path
    bundle: Path


def authority() -> Authority:
    """Return the lab's CA. The first call makes the CA."""
    folder = made(cache() / "ca", 0o700)
    ca = Authority(folder / "ca.pem", folder / "ca.key", folder / "bundle.pem")
    if not ca.certificate.exists():
        name = ["-subj", "/CN=Portcullis lab CA", "-days", "3650"]
        uses = [
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "keyUsage=critical,keyCertSign,cRLSign",
        ]
        new = folder / "ca.new"
        run(["openssl", "req", "-x509", *_CURVE, *name, *uses, "-keyout", str(ca.key), "-out", str(new)])
        new.rename(ca.certificate)
    system = _SYSTEM_BUNDLE.read_text() if _SYSTEM_BUNDLE.exists() else ""
    _write(ca.bundle, system + ca.certificate.read_text())
    return ca


def registry_certificate() -> tuple[Path, Path]:
    """Return the registry's certificate and key.

    The first call makes key and certificate, and the CA signs the certificate.
    """
    ca = authority()
    folder = ca.certificate.parent
    certificate, key, request = (folder / f"registry.{part}" for part in ("pem", "key", "csr"))
    if not certificate.exists():
        extensions = folder / "registry.ext"
        extensions.write_text(
            f"subjectAltName=IP:{REGISTRY_ADDRESS.v4},IP:{REGISTRY_ADDRESS.v6}\nextendedKeyUsage=serverAuth\n"
        )
        run(["openssl", "req", *_CURVE, "-subj", "/CN=registry", "-keyout", str(key), "-out", str(request)])
        new = folder / "registry.new"
        issuer = ["-CA", str(ca.certificate), "-CAkey", str(ca.key), "-CAcreateserial"]
        term = ["-days", "3650", "-sha256", "-extfile", str(extensions)]
        run(["openssl", "x509", "-req", "-in", str(request), *issuer, *term, "-out", str(new)])
        new.rename(certificate)
    return certificate, key


def client_key() -> Path:
    """Return the private key for the login as root on every lab host."""
    key = made(cache() / "ssh", 0o700) / "id_ed25519"
    if not key.exists():
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "portcullis-lab", "-f", str(key)])
    return key


def host_keys(name: str) -> Path:
    """Return the folder with the keys of the host ``name``. A later host of that name gets the same keys."""
    folder = made(cache() / "host-keys", 0o700) / name
    if not folder.exists():
        new = folder.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        made(new / "etc" / "ssh")
        run(["ssh-keygen", "-A", "-f", str(new)], timeout=60)
        (new / "etc" / "ssh").rename(folder)
        shutil.rmtree(new)
    return folder


def set_host_keys(name: str, source: Path) -> None:
    """Give the host `name` the keys in the folder `source`, because its disk has them."""
    folder = cache() / "host-keys" / name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder)


def public_host_key(name: str) -> str:
    """Return the host's Ed25519 key in the form of ``known_hosts``: type and key, no comment."""
    words = (host_keys(name) / "ssh_host_ed25519_key.pub").read_text().split()
    return f"{words[0]} {words[1]}"


def known_hosts(name: str, address: str) -> Path:
    """Write and return a ``known_hosts`` file that pins the key of ``name`` for its address."""
    path = made(cache() / "ssh", 0o700) / f"known_hosts-{name}"
    _write(path, f"{address} {public_host_key(name)}\n")
    return path


def _write(path: Path, text: str) -> None:
    """Write a file in one step, because other processes may read it at any time.

    If the file already has this text, it is not written again.
    """
    if path.exists() and path.read_text() == text:
        return
    new = path.with_name(f"{path.name}.{token_hex(4)}")
    new.write_text(text)
    new.rename(path)
