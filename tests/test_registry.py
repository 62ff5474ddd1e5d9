"""Finding the digest of an image tag, with a local registry that has TLS."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import ssl
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from portcullis import registry
from portcullis.components import RegistryArgs
from portcullis.config.faults import SettingsError
from portcullis.registry import Reference, login_of, parse, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DIGEST = "sha256:" + "ab" * 32
MANIFEST = b'{"schemaVersion": 2}'
PASSWORD = "registry-secret-9Wd4"
BASIC = "Basic " + base64.b64encode(f"bot:{PASSWORD}".encode()).decode()

# How the registry treats each repository: the accepted logins, challenges, redirects and statuses.
WANTS = {
    "bearer": ("Bearer token-of-bot", "Bearer token-of-anyone"),
    "private": ("Bearer token-of-bot",),
    "basic": (BASIC,),
    "clear-realm": ("nothing",),
}
CHALLENGE = 'Bearer realm="{here}/token/x",service="s"'
CHALLENGES = {"basic": 'Basic realm="r"', "clear-realm": 'Bearer realm="http://127.0.0.1:1/token"'}
REDIRECTS = {"clear-redirect": "http://127.0.0.1:1/", "redirect": "{here}/v2/public/manifests/1"}
STATUS = {"missing": 404, "busy": 429, "broken": 502}


class Registry(ThreadingHTTPServer):
    """A local registry. `asked` has the method, path and authorization of every request."""

    asked: list[tuple[str, str, str | None]]
    port: int

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.port}"

    def resolve(self, *images: str, login: bool = False) -> list[str]:
        credentials = {self.name: RegistryArgs(username="bot", password=PASSWORD)} if login else {}
        references = {f"portcullis:apps.{i}.image": f"{self.name}/{image}" for i, image in enumerate(images)}
        return [found.removeprefix(f"{self.name}/") for found in resolve(references, credentials).values()]

    def refuses(self, image: str, *, login: bool = False) -> str:
        with pytest.raises(SettingsError) as caught:
            self.resolve(image, login=login)
        assert PASSWORD not in str(caught.value)
        assert BASIC not in str(caught.value)
        (fault,) = caught.value.faults
        assert fault.path == "portcullis:apps.0.image"
        return str(fault)


class Handler(BaseHTTPRequestHandler):
    server: Registry
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self) -> None:
        authorization = self.headers["Authorization"]
        self.server.asked.append((self.command, self.path, authorization))
        if self.path.startswith("/token"):
            who = "bot" if authorization == BASIC else "anyone"
            self.answer(200, f'{{"token": "token-of-{who}"}}'.encode())
            return
        repository = self.path.split("/")[2]
        wants = WANTS.get(repository)
        if wants and authorization not in wants:
            here = f"https://{self.server.name}"
            self.answer(401, WWW_Authenticate=CHALLENGES.get(repository, CHALLENGE).format(here=here))
        elif repository in REDIRECTS:
            self.answer(307, Location=REDIRECTS[repository].format(here=f"https://{self.server.name}"))
        elif (self.command, repository) == ("HEAD", "get-only"):
            self.answer(405)
        elif repository in ("mute", "get-only"):
            self.answer(200, MANIFEST)
        else:
            digest = "md5:1" if repository == "odd" else DIGEST
            self.answer(STATUS.get(repository, 200), Docker_Content_Digest=digest)

    do_HEAD = do_GET  # noqa: N815 - the name that http.server wants


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "registry")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("registry")
    chain, secret = folder / "registry.pem", folder / "registry.key"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    return chain, secret


@pytest.fixture
def server(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    made = Registry(("127.0.0.1", 0), Handler)
    made.asked, made.port = [], made.server_address[1]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    made.socket = context.wrap_socket(made.socket, server_side=True)
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def test_a_tag_gets_a_digest(server: Registry) -> None:
    assert server.resolve("public:1.2") == [f"public:1.2@{DIGEST}"]
    assert server.asked == [("HEAD", "/v2/public/manifests/1.2", None)]


def test_a_digest_stays_without_a_request() -> None:
    references = {"a": f"nowhere.invalid/x@{DIGEST}", "b": f"nowhere.invalid/x:1@{DIGEST}"}
    assert resolve(references) == references


def test_an_image_that_several_apps_use_costs_one_request(server: Registry) -> None:
    assert server.resolve("public:1", "public:1") == [f"public:1@{DIGEST}"] * 2
    assert len(server.asked) == 1


@pytest.mark.parametrize("image", ["mute:1", "get-only:1"])
def test_without_a_digest_header_the_manifest_is_read(server: Registry, image: str) -> None:
    assert server.resolve(image) == [f"{image}@sha256:{hashlib.sha256(MANIFEST).hexdigest()}"]


def test_a_token_is_fetched_without_and_with_a_login(server: Registry) -> None:
    assert server.resolve("bearer:1") == [f"bearer:1@{DIGEST}"]
    assert server.resolve("private:1", login=True) == [f"private:1@{DIGEST}"]
    tokens = [asked for asked in server.asked if asked[1].startswith("/token")]
    query = "/token/x?service=s&scope=repository%3A{}%3Apull"
    assert tokens == [
        ("GET", query.format("bearer"), None),
        ("GET", query.format("private"), BASIC),
    ]


def test_a_login_is_not_sent_before_the_registry_asks(server: Registry) -> None:
    assert server.resolve("basic:1", login=True) == [f"basic:1@{DIGEST}"]
    assert [authorization for _, _, authorization in server.asked] == [None, BASIC]


def test_a_redirect_is_followed_without_the_login(server: Registry) -> None:
    assert server.resolve("redirect:1", login=True) == [f"redirect:1@{DIGEST}"]
    assert [(method, authorization) for method, _, authorization in server.asked] == [("HEAD", None)] * 2


@pytest.mark.parametrize(
    ("image", "login", "says"),
    [
        ("missing:1", False, 'missing:1": the registry 127.0.0.1:{port} has no such image or tag; correct'),
        ("private:1", False, "add a login under portcullis:registries.127.0.0.1:{port}"),
        ("basic:1", False, "add a login under portcullis:registries.127.0.0.1:{port}"),
        ("busy:1", False, "too many requests; pin the digest"),
        ("broken:1", False, "answers with status 502"),
        ("odd:1", False, "gave no SHA-256 digest"),
        ("clear-realm:1", True, "asks for an unknown kind of login"),
        ("clear-redirect:1", True, "redirects to an address without HTTPS"),
    ],
)
def test_a_refusal_has_a_reason_and_a_hint(server: Registry, image: str, *, login: bool, says: str) -> None:
    assert says.format(port=server.port) in server.refuses(image, login=login)


def test_a_refused_login_names_its_setting(server: Registry) -> None:
    with pytest.raises(SettingsError) as caught:
        resolve(
            {"p": f"{server.name}/basic:1"},
            {server.name: RegistryArgs(username="bot", password="wrong-2Rf8")},
        )
    assert f"check portcullis:registries.{server.name}" in str(caught.value)
    assert "wrong-2Rf8" not in str(caught.value)


def test_all_faults_are_reported_at_once(server: Registry) -> None:
    with pytest.raises(SettingsError) as caught:
        server.resolve("missing:1", "public:1", "busy:1", "missing:1")
    paths = [fault.path for fault in caught.value.faults]
    assert paths == ["portcullis:apps.0.image", "portcullis:apps.2.image", "portcullis:apps.3.image"]


def test_an_untrusted_certificate_is_refused(server: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    said = server.refuses("public:1", login=True)
    assert "does not trust the certificate of the registry" in said
    assert "self-signed certificate; set SSL_CERT_FILE" in said
    assert server.asked == []


def test_a_file_of_authorities_is_trusted(
    server: Registry, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    found = resolve({"p": f"{server.name}/public:1"}, ca_file=str(certificate[0]))
    assert found == {"p": f"{server.name}/public:1@{DIGEST}"}


def test_a_closed_port_is_a_fault_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(SettingsError, match=r"cannot reach .*: Connection refused; pin the digest"):
        resolve({"p": "127.0.0.1:1/x:1"})


def test_a_silent_registry_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_TIMEOUT", 0.2)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    listener = ThreadingHTTPServer(
        ("127.0.0.1", 0), Handler
    )  # this socket accepts connections into its backlog and never answers
    with pytest.raises(SettingsError, match="did not answer within"):
        resolve({"p": f"127.0.0.1:{listener.server_address[1]}/x:1"})
    listener.server_close()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("redis:8", Reference("docker.io", "library/redis", "8")),
        ("acme/api:1", Reference("docker.io", "acme/api", "1")),
        ("docker.io/redis:8", Reference("docker.io", "library/redis", "8")),
        ("index.docker.io/acme/api:1", Reference("docker.io", "acme/api", "1")),
        ("ghcr.io/acme/api:v1.2-RC1", Reference("ghcr.io", "acme/api", "v1.2-RC1")),
        ("localhost/api:1", Reference("localhost", "api", "1")),
        ("r.example.com:5000/a/b/c:1", Reference("r.example.com:5000", "a/b/c", "1")),
    ],
)
def test_names_are_split_as_docker_does(name: str, expected: Reference) -> None:
    assert parse(name) == expected
    assert (parse(name).host == "registry-1.docker.io") == (expected.registry == "docker.io")


@pytest.mark.parametrize(
    ("image", "who"),
    [
        (f"redis@{DIGEST}", "hub"),
        (f"docker.io/acme/api:1@{DIGEST}", "hub"),
        (f"ghcr.io/acme/api@{DIGEST}", "bot"),
        ("ghcr.io/acme/api:1", "bot"),
        ("ghcr.io:443/acme/api:1", None),
        ("quay.io/acme/api:1", None),
    ],
)
def test_an_image_gets_the_login_of_its_registry_and_no_other(image: str, who: str | None) -> None:
    logins = {
        "index.docker.io": RegistryArgs(username="hub", password="x"),
        "ghcr.io": RegistryArgs(username="bot", password="y"),
    }
    found = login_of(image, logins)
    assert (found.username if found else None) == who


def test_a_password_is_not_shown() -> None:
    assert PASSWORD not in repr(RegistryArgs(username="bot", password=PASSWORD))
