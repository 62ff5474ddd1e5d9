"""Connects two network namespaces by a virtual cable. One is a host with many faults, the other scans it.

Network namespaces need root.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[3]
V4, V6 = "203.0.113.10", "2001:db8:77::10"
_ASKER = {V4: "203.0.113.9", V6: "2001:db8:77::9"}
DROPPED = "20000:60000"
# Both ends of the cable are on this machine. No port is asked for longer than it takes: each server that does
# not speak first speaks when it is asked, or hangs up.
_QUICK = """
import runpy, sys
from portcullis.cli.scan import greetings, syn
syn.SETTLE = 1.0
greetings._FIRST_WORD = syn.settling(1.0)
greetings.PATIENCE = 60
module, *sys.argv[1:] = sys.argv[1:]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True)
class Wire:
    """The names of the two network namespaces, and the folder with the host's certificates."""

    asker: str
    asked: str
    folder: Path

    def run(self, *argv: str, text: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program in the network of the scanner."""
        return subprocess.run(
            ["ip", "netns", "exec", self.asker, *argv],
            input=text, text=True, capture_output=True, check=check, timeout=120, cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    def quick(
        self, module: str, *arguments: str, text: str, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a module of Portcullis in the network of the scanner.

        The module waits for a shorter time than on the internet.
        """
        return self.run(sys.executable, "-c", _QUICK, module, *arguments, text=text, check=check)

    def probe(self, **changes: Any) -> dict[str, Any]:
        """Scan with the probe and return its answer."""
        question = {
            "addresses": [V4, V6], "families": [4, 6], "ports": [[1, 65535]], "ssh": 22, "sites": [],
            "page": "",
            "roots": "", "method": "syn", "rate": 100_000, **changes,
        }  # fmt: skip
        done = self.quick("portcullis.cli.scan.probe", text=json.dumps(question))
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def touched(self) -> int:
        """Return the number of connections to the SSH ports, and reset the counter."""
        counted = self.folder / "ssh"
        number = len(counted.read_text().splitlines()) if counted.exists() else 0
        counted.unlink(missing_ok=True)
        return number


@pytest.fixture(scope="session")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    """Set up the cable and start the host's servers. At the end, remove both network namespaces."""
    folder = tmp_path_factory.mktemp("wire")
    certificates(folder)
    made = Wire(f"scan-a-{os.getpid()}", f"scan-b-{os.getpid()}", folder)
    try:
        for namespace in (made.asker, made.asked):
            _ip("netns", "add", namespace)
            _ip("-n", namespace, "link", "set", "lo", "up")
        cable = ["link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", made.asked]
        _ip("-n", made.asker, *cable)
        for address, other in _ASKER.items():
            length = "64" if ":" in address else "24"
            more = ["nodad"] if ":" in address else []
            _ip("-n", made.asked, "address", "add", f"{address}/{length}", "dev", "wire", *more)
            _ip("-n", made.asker, "address", "add", f"{other}/{length}", "dev", "wire", *more)
        for namespace in (made.asker, made.asked):
            _ip("-n", namespace, "link", "set", "wire", "up")
        for program in ("iptables", "ip6tables"):
            drop = [program, "-A", "INPUT", "-p", "tcp", "--dport", DROPPED, "-j", "DROP"]
            # The dropped range contains MongoDB's ports.
            keep = [program, "-I", "INPUT", "-p", "tcp", "--dport", "27017:27018", "-j", "ACCEPT"]
            for rule in (drop, keep):
                _ip("netns", "exec", made.asked, *rule)
        servers = [sys.executable, str(Path(__file__).with_name("servers.py")), str(folder)]
        with subprocess.Popen(
            ["ip", "netns", "exec", made.asked, *servers],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            try:
                assert process.stdout
                assert process.stdout.readline() == "ready\n"
                yield made
            finally:
                process.kill()
    finally:
        for namespace in (made.asker, made.asked):
            subprocess.run(["ip", "netns", "delete", namespace], check=False, capture_output=True)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


def certificates(folder: Path) -> None:
    """Write an authority, a valid certificate of shop.example.com, and an expired one."""
    now = datetime.now(UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Root of the test")])
    root = (
        _unsigned(name, name, key, now - timedelta(days=9), now + timedelta(days=90))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "root.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
    for file, days in (("shop", 60), ("expired", -2)):
        own = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "shop.example.com")])
        made = (
            _unsigned(subject, name, own, now - timedelta(days=8), now + timedelta(days=days))
            .add_extension(
                x509.SubjectAlternativeName(
                    [x509.DNSName("shop.example.com"), x509.DNSName("*.shop.example.com")]
                ),
                critical=False,
            )
            .sign(key, hashes.SHA256())
        )
        (folder / f"{file}.pem").write_bytes(
            own.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + made.public_bytes(serialization.Encoding.PEM)
        )


def _unsigned(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )
