"""TLS as Mozilla's guideline 6.0 defines it, measured by sslyze and by handshakes."""

from __future__ import annotations

import contextlib
import json
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from portcullis.components.nginx import render as nginx
from tests.proxy import catalogue, hosts, namespace, roots
from tests.proxy.certificates import issue
from tests.proxy.edge import Edge, send, serving, trusting
from tests.proxy.nginx_process import VISITOR
from tests.proxy.traps import APP, WWW
from tools import programs
from tools.steps import ROOT

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

GUIDELINE = Path(__file__).parent / "mozilla_6.0.json"
RELEASES = ("debian-12", "debian-13")


@pytest.fixture(
    scope="module", params=[(os, profile) for os in RELEASES for profile in nginx.PROFILES], ids="-".join
)
def case(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param


@pytest.fixture(scope="module")
def edge(case: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    root = roots.root(case[0])
    pair = issue(catalogue.every_name(hosts.SITES))
    texts = {**catalogue.files(root, hosts.SITES, pair, profile=case[1]), "/etc/nginx/ca.pem": pair.authority}
    with serving(root, tmp_path_factory.mktemp("nginx"), {**texts, **hosts.FILES}) as edge:
        yield edge


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    pair = issue([APP])
    texts = {
        nginx.PACKAGED_SITE_PATH: "",
        "/etc/nginx/conf.d/naive.conf": (Path(__file__).parent / "naive/bare.conf").read_text(),
        "/etc/nginx/naive.pem": pair.key + pair.chain,
        "/etc/nginx/ca.pem": pair.authority,
    }
    with serving(roots.root("debian-12"), tmp_path_factory.mktemp("nginx"), texts) as edge:
        yield edge


def sslyze(edge: Edge, profile: str, folder: Path) -> subprocess.CompletedProcess[str]:
    wanted = folder / f"{profile}.json"
    wanted.write_text(json.dumps(json.loads(GUIDELINE.read_text())[profile]))
    python = programs.installed(ROOT / "tools" / "requirements-sslyze.txt") / "python"
    authority = edge.files.path("/etc/nginx/ca.pem")
    asks = [f"--sni={APP}", f"--custom_tls_config={wanted}", f"--certinfo_ca_file={authority}", "--certinfo"]
    return edge.run(str(python), "-m", "sslyze", *asks, f"{VISITOR}:443")


def test_sslyze_finds_our_tls_compliant(case: tuple[str, str], edge: Edge, tmp_path: Path) -> None:
    done = sslyze(edge, case[1], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "OK - Compliant" in done.stdout


@pytest.mark.parametrize("profile", nginx.PROFILES)
def test_sslyze_objects_to_the_package_defaults(profile: str, copied: Edge, tmp_path: Path) -> None:
    done = sslyze(copied, profile, tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAILED - Not compliant" in done.stdout
    assert "tls_curves" in done.stdout
    assert "should be rejected" in done.stdout


def test_the_rendered_settings_match_the_guideline(case: tuple[str, str]) -> None:
    profile = json.loads(GUIDELINE.read_text())[case[1]]
    rendered = nginx.PROFILES[case[1]]
    assert list(rendered.protocols) == profile["tls_versions"]
    assert list(rendered.ciphers) == profile["ciphers"]["openssl"]
    text = nginx.tls_snippet("tls", case[1], roots.root("debian-13").dialect)
    assert f"ssl_ecdh_curve {':'.join(profile['tls_curves'])};" in text


def test_every_site_speaks_the_same_protocols(case: tuple[str, str], edge: Edge) -> None:
    for host in hosts.HTTPS_NAMES:
        for version, spoken in (
            (ssl.TLSVersion.TLSv1_2, case[1] == "intermediate"),
            (ssl.TLSVersion.TLSv1_3, True),
        ):
            context = trusting()
            context.minimum_version = context.maximum_version = version
            with contextlib.ExitStack() as stack:
                if not spoken:
                    stack.enter_context(pytest.raises(ssl.SSLError))
                edge.connect(sni=host, context=context).close()


def test_old_protocols_are_refused(edge: Edge) -> None:
    for version in ("-tls1", "-tls1_1"):
        asks = ["-connect", f"{VISITOR}:443", "-servername", APP, version, "-cipher", "ALL:@SECLEVEL=0"]
        done = edge.run("openssl", "s_client", *asks)
        assert "alert protocol version" in done.stderr, done.stderr


def test_every_name_gets_a_certificate_that_fits(edge: Edge) -> None:
    context = ssl.create_default_context(cafile=str(edge.files.path("/etc/nginx/ca.pem")))
    for host in (APP, WWW, "old.example.com", "eu.apps.example.com"):
        with contextlib.closing(edge.connect(sni=host, context=context)) as sock:
            assert send(sock, host).status in (200, 308)


def test_a_returning_client_resumes_its_session(edge: Edge, tmp_path: Path) -> None:
    # TLS 1.3 sends sessions after the handshake, so the client has to wait for an answer.
    asks = f"printf 'GET / HTTP/1.1\\r\\nHost: {APP}\\r\\nConnection: close\\r\\n\\r\\n' | openssl s_client"
    asks += f" -ign_eof -tls1_3 -connect {VISITOR}:443 -servername {APP} -sess_out {tmp_path}/session"
    assert "New, TLSv1.3" in edge.run("sh", "-c", asks).stdout
    assert "Reused, TLSv1.3" in edge.run("sh", "-c", f"{asks} -sess_in {tmp_path}/session").stdout


def test_tls_1_2_has_tickets_only_where_nginx_rotates_their_keys(case: tuple[str, str], edge: Edge) -> None:
    context = trusting()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    if case[1] == "modern":
        with pytest.raises(ssl.SSLError, match="protocol version"):
            edge.connect(sni=APP, context=context)
    else:
        _resumed(case[0], edge, context)


def _resumed(os: str, edge: Edge, context: ssl.SSLContext) -> None:
    with contextlib.closing(edge.connect(sni=APP, context=context)) as first:
        assert isinstance(first, ssl.SSLSocket)
        session = first.session
    # Before 1.23.2, nginx keeps the same ticket key until it restarts, so tickets are off there.
    assert session.has_ticket == (os != "debian-12")
    plain = namespace.connected(edge.pid, (VISITOR, 443), VISITOR)
    with contextlib.closing(context.wrap_socket(plain, server_hostname=APP, session=session)) as again:
        assert again.session_reused


def test_the_post_quantum_key_exchange_works_where_openssl_has_it(case: tuple[str, str], edge: Edge) -> None:
    asks = ["-connect", f"{VISITOR}:443", "-servername", APP, "-groups", "X25519MLKEM768", "-brief"]
    done = edge.run("chroot", str(edge.files.root.folder), "openssl", "s_client", *asks)
    if case[0] == "debian-12":
        assert "MLKEM" not in edge.files.path(nginx.TLS_PATH).read_text().partition("ssl_ecdh_curve")[2]
        assert done.returncode != 0, "the root's OpenSSL does not know the group"
    else:
        assert "X25519MLKEM768" in done.stdout + done.stderr, done.stderr
