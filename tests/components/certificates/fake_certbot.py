"""A fake certbot with an authority in memory.

The fake writes lineages as certbot does, with real certificates.
"""

from __future__ import annotations

import datetime as dt
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from portcullis.agent.run import Done

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

DAY = dt.timedelta(days=1)
MAIN = 7
"""The process id of nginx's main process."""


def issued(
    names: Sequence[str],
    *,
    age: float = 0,
    days: float = 90,
    key_type: str = "ecdsa",
    issuer: str = "Example CA",
) -> tuple[bytes, bytes]:
    """Return a certificate that is `age` days old, and its key, in PEM."""
    key = (
        ec.generate_private_key(ec.SECP256R1())
        if key_type == "ecdsa"
        else rsa.generate_private_key(65537, 2048)
    )
    begins = dt.datetime.now(dt.UTC) - age * DAY
    authority = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "GB"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, issuer),
            x509.NameAttribute(NameOID.COMMON_NAME, "R1"),
        ]
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(authority)
        .not_valid_before(begins)
        .not_valid_after(begins + days * DAY)
        .serial_number(x509.random_serial_number())
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .sign(_AUTHORITY, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM), secret


_AUTHORITY = ec.generate_private_key(ec.SECP256R1())


@dataclass
class FakeCertbot:
    """A fake of the command certbot.

    The next requests for certificates fail with the outputs in `trouble`. `killed` makes the next request
    leave an incomplete lineage. `hook` is called after a certificate was issued, like certbot's deploy hooks.
    """

    root: Path
    calls: list[list[str]] = field(default_factory=list)
    environments: list[Mapping[str, str]] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    version: str = "certbot 4.0.0"
    broken_nginx: str = ""
    killed: bool = False
    on_reload: Callable[[], None] = lambda: None
    hook: Callable[[], None] = lambda: None

    def __call__(self, argv: Sequence[str], *, timeout: float, env: Mapping[str, str] | None = None) -> Done:
        assert 0 < timeout < 1200
        program, *words = argv
        self.calls.append(list(argv))
        if program == "nginx":
            return Done(int(bool(self.broken_nginx)), "", self.broken_nginx)
        if program == "systemctl":
            return self.systemctl(words)
        assert program == "certbot"
        if words == ["--version"]:
            return Done(0, self.version, "")
        name = words[words.index("--cert-name") + 1]
        if words[0] == "delete":
            return self.delete(name)
        self.environments.append(env or {})
        if self.trouble:
            return Done(1, self.trouble.pop(0), "")
        return self.certonly(name, words)

    def systemctl(self, words: list[str]) -> Done:
        if "--property=MainPID" in words:
            return Done(0, f"{MAIN}\n", "")
        self.on_reload()
        return Done(0, "", "")

    @property
    def orders(self) -> list[list[str]]:
        return [argv for argv in self.calls if argv[:2] == ["certbot", "certonly"]]

    def reloads(self) -> int:
        return sum(argv[0] == "systemctl" and "reload" in argv for argv in self.calls)

    def certonly(self, name: str, words: list[str]) -> Done:
        assert {"-n", "--agree-tos"} <= set(words)
        there, half = self.conf(name).exists(), (self.root / "live" / name).exists()
        if half and not there:
            return Done(1, f"live directory exists for {name}", "")
        if there and "--force-renewal" not in words:
            return Done(0, "Certificate not yet due for renewal; no action taken.", "")
        domains = [words[at + 1] for at, word in enumerate(words) if word == "-d"]
        key_type = words[words.index("--key-type") + 1]
        if self.killed:
            self.killed = False
            (self.root / "live" / name).mkdir(parents=True)
            return Done(-9, "", "")
        self.write(name, *issued(domains, key_type=key_type), self.settings(words))
        self.hook()
        return Done(0, "Successfully received certificate.", "")

    def settings(self, words: list[str]) -> dict[str, str]:
        def after(option: str) -> str:
            return words[words.index(option) + 1]

        found = {"server": after("--server"), "key_type": after("--key-type")}
        if "--webroot" in words:
            return {**found, "authenticator": "webroot", "webroot_path": f"{after('-w')},"}
        plugin = after("--authenticator")
        options = {
            word[2:].replace("-", "_"): after(word) for word in words if word.startswith(f"--{plugin}-")
        }
        return {**found, "authenticator": plugin, **options}

    def write(self, name: str, pem: bytes, key: bytes, settings: Mapping[str, str]) -> None:
        """Make or replace a lineage."""
        live, archive = self.root / "live" / name, self.root / "archive" / name
        for folder in (live, archive, self.root / "renewal"):
            folder.mkdir(parents=True, exist_ok=True)
        number = len(list(archive.glob("cert*.pem"))) + 1
        for part, data in {"cert": pem, "fullchain": pem, "privkey": key}.items():
            (archive / f"{part}{number}.pem").write_bytes(data)
            (live / f"{part}.pem").unlink(missing_ok=True)
            (live / f"{part}.pem").symlink_to(archive / f"{part}{number}.pem")
        lines = ["version = 4.0.0", "[renewalparams]", *(f"{k} = {v}" for k, v in settings.items())]
        self.conf(name).write_text("\n".join([*lines, "[[webroot_map]]", ""]))

    def delete(self, name: str) -> Done:
        if not self.conf(name).exists():
            return Done(1, f"No certificate found with name {name}", "")
        self.conf(name).unlink()
        for folder in ("live", "archive"):
            shutil.rmtree(self.root / folder / name)
        return Done(0, "Deleted all files relating to certificate", "")

    def conf(self, name: str) -> Path:
        return self.root / "renewal" / f"{name}.conf"
