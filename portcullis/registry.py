"""Asks registries for the digests of tags. The deploying machine sends the requests.

The digest becomes part of the image's name. So the state records which image runs, and a tag that was moved
shows as a difference in the next preview. For one image, we send one HEAD request and at most two login
requests (OCI Distribution Specification 1.1, "Pulling manifests"). The standard library is enough for these
requests.

Two alternatives are less suitable:

- python-dxf 12.1 could replace our code for the request and the login, which has 50 lines. python-dxf follows
  a redirect to HTTP. If a token address lacks HTTPS, python-dxf rewrites the address instead of refusing it.
  python-dxf needs the library requests, which trusts its own list of authorities instead of the system's, and
  sends logins from ~/.netrc.
- pulumi-docker's `getRegistryImage` returns an Output while the Pulumi program runs, and stops at the first
  failure. We report all faults of the settings at once, before the first resource. `getRegistryImage` takes
  logins from the provider's inputs, which puts the logins into the state.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import re
import ssl
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import urlencode, urlsplit

from portcullis.config.faults import Fault, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.config.secret import Secret

HUB = "docker.io"
"""The registry of an image whose name begins with no registry."""
_HUB_HOST = "registry-1.docker.io"
_HUB_NAMES = ("index.docker.io", _HUB_HOST)
_TIMEOUT = 15.0  # seconds for one request
_PARALLEL = 8
_LARGEST = 4 * 1024 * 1024  # bytes of a manifest: the limit in the specification
_MANIFESTS = ", ".join(
    (
        # Indexes come first, because the digest must name the image of every architecture.
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_UNAUTHORISED, _FORBIDDEN, _MISSING, _NO_HEAD, _TOO_MANY = 401, 403, 404, 405, 429
_PIN = "pin the digest: NAME@sha256:… needs no answer from the registry"


class Login(Protocol):
    """A login at a registry, as the settings declare it."""

    @property
    def username(self) -> str:
        """The user name of the login."""

    @property
    def secret(self) -> Secret:
        """The password of the login."""


L = TypeVar("L", bound=Login)


@dataclass(frozen=True, slots=True)
class Reference:
    """The parts of an image's name, split as Docker splits it (distribution/reference)."""

    registry: str
    repository: str
    tag: str

    @property
    def host(self) -> str:
        """The host name of the registry's API."""
        return _HUB_HOST if self.registry == HUB else self.registry


def parse(name: str) -> Reference:
    """Split an image name that has a tag."""
    first, slash, rest = name.partition("/")
    has_registry = bool(slash) and ("." in first or ":" in first or first == "localhost")
    registry, path = (first, rest) if has_registry else (HUB, name)
    repository, _, tag = path.rpartition(":")
    if registry in _HUB_NAMES:
        registry = HUB
    if registry == HUB and "/" not in repository:
        repository = f"library/{repository}"
    return Reference(registry, repository, tag)


class _Refused(Exception):
    """A registry gave no digest: the reason, and a hint for people."""

    def __init__(self, reason: str, hint: str = _PIN) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


class _Status(Exception):
    """An HTTP error: its status, and the login challenge of the registry."""

    def __init__(self, code: int, challenge: str) -> None:
        super().__init__(str(code))
        self.code = code
        self.challenge = challenge


def resolve(
    references: Mapping[str, str],
    logins: Mapping[str, Login] | None = None,
    *,
    place: str = "portcullis:registries",
    ca_file: str | None = None,
) -> dict[str, str]:
    """Add the digest to each image whose name has a tag but no digest. An image with a digest stays as it is.

    All requests use HTTPS and run in parallel, one for each image. The trusted authorities are those of the
    system. The variables SSL_CERT_FILE and SSL_CERT_DIR, which OpenSSL reads, choose other authorities.

    Args:
        references: for each path of an image in the settings, the name of the image: `NAME:TAG`, or a name
            with a digest.
        logins: for each registry, such as "ghcr.io" or "docker.io", the login.
        place: the path of the logins in the settings, for messages.
        ca_file: further authorities to trust, in PEM.

    Returns:
        The same paths with `NAME:TAG@sha256:…`.

    Raises:
        SettingsError: a registry gives no digest. The error has a fault for every such image. No fault quotes
            a credential.
    """
    wanted = sorted({name for name in references.values() if "@" not in name})
    if not wanted:
        return dict(references)
    asking = _Asking(logins or {}, place, ca_file)
    with ThreadPoolExecutor(_PARALLEL) as pool:
        answers = dict(zip(wanted, pool.map(asking.digest, wanted), strict=True))
    faults = [
        Fault(path, f'"{name}": {refused.reason}', refused.hint)
        for path, name in references.items()
        if isinstance(refused := answers.get(name), _Refused)
    ]
    if faults:
        raise SettingsError(faults)
    return {path: name if "@" in name else f"{name}@{answers[name]}" for path, name in references.items()}


def login_of(image: str, logins: Mapping[str, L]) -> L | None:
    """Return the login at an image's registry, or None if the settings have no such login.

    The image's name has a tag, a digest or both.
    """
    return _by_registry(logins).get(parse(image.partition("@")[0]).registry)


def _by_registry(logins: Mapping[str, L]) -> dict[str, L]:
    """Return the logins, each under the name of its registry.

    Docker Hub, which has several names, gets the name that `parse` uses.
    """
    return {HUB if name in _HUB_NAMES else name: login for name, login in logins.items()}


class _Asking:
    """Asks registries for digests. Several threads may use it at once."""

    def __init__(self, logins: Mapping[str, Login], place: str, ca_file: str | None) -> None:
        self._logins, self._place = _by_registry(logins), place
        context = ssl.create_default_context()
        if ca_file:
            context.load_verify_locations(ca_file)
        # Proxies come from the usual environment variables. No handler opens anything but HTTPS.
        self._opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(),
            urllib.request.HTTPSHandler(context=context),
            urllib.request.HTTPDefaultErrorHandler(),
            _HttpsOnly(),
            urllib.request.HTTPErrorProcessor(),
            urllib.request.UnknownHandler(),
        ):
            self._opener.add_handler(handler)

    def digest(self, name: str) -> str | _Refused:
        """Return the digest of an image, or the reason why the registry gives none."""
        reference = parse(name)
        try:
            return self._digest(reference)
        except _Refused as refused:
            return refused
        except _Status as status:
            return self._refused(reference, status.code)
        except (OSError, http.client.HTTPException) as error:
            return _unreachable(reference, error)

    def _digest(self, reference: Reference) -> str:
        url = f"https://{reference.host}/v2/{reference.repository}/manifests/{reference.tag}"
        authorization = ""
        try:
            found = self._manifest(url, authorization)
        except _Status as status:
            if status.code != _UNAUTHORISED:
                raise
            authorization = self._login(reference, status.challenge)
            found = self._manifest(url, authorization)
        if not _DIGEST.fullmatch(found):
            raise _Refused(f"the registry {reference.registry} gave no SHA-256 digest")
        return found

    def _manifest(self, url: str, authorization: str) -> str:
        """Return the digest of an image's manifest.

        Some registries send no digest or do not support HEAD. We then read the manifest and hash it.
        """
        try:
            with self._open("HEAD", url, authorization) as answer:
                digest = answer.headers.get("Docker-Content-Digest")
        except _Status as status:
            if status.code != _NO_HEAD:
                raise
            digest = None
        if digest:
            return str(digest)
        with self._open("GET", url, authorization) as answer:
            body = answer.read(_LARGEST + 1)
        if len(body) > _LARGEST:
            raise _Refused("the image's manifest is larger than the OCI specification allows")
        return "sha256:" + hashlib.sha256(body).hexdigest()

    def _login(self, reference: Reference, challenge: str) -> str:
        """Return the Authorization header that a registry asks for: a bearer token, or user and password."""
        login = self._logins.get(reference.registry)
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "basic":
            if login is None:
                raise self._refused(reference, _UNAUTHORISED)
            return _basic(login)
        asked = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        realm = asked.get("realm", "")
        if scheme.lower() != "bearer" or urlsplit(realm).scheme != "https":
            raise _Refused(f"the registry {reference.registry} asks for an unknown kind of login")
        query = {
            "service": asked.get("service", reference.host),
            "scope": f"repository:{reference.repository}:pull",
        }
        separator = "&" if urlsplit(realm).query else "?"
        url = f"{realm}{separator}{urlencode(query)}"
        with self._open("GET", url, _basic(login) if login else "") as answer:
            try:
                said = json.loads(answer.read(_LARGEST))
            except ValueError:
                said = None
        token = (said.get("token") or said.get("access_token")) if isinstance(said, dict) else None
        if not isinstance(token, str) or not token:
            raise _Refused(f"the registry {reference.registry} gave no token for the login")
        return f"Bearer {token}"

    def _open(self, method: str, url: str, authorization: str) -> Any:
        request = urllib.request.Request(url, method=method, headers={"Accept": _MANIFESTS})  # noqa: S310
        if authorization:
            # "Unredirected": the header is not sent to the host that the registry redirects to.
            request.add_unredirected_header("Authorization", authorization)
        try:
            return self._opener.open(request, timeout=_TIMEOUT)
        except urllib.error.HTTPError as error:
            error.close()
            raise _Status(error.code, error.headers.get("WWW-Authenticate") or "") from None

    def _refused(self, reference: Reference, status: int) -> _Refused:
        registry = reference.registry
        if status in (_UNAUTHORISED, _FORBIDDEN) and registry in self._logins:
            return _Refused(
                f"the registry {registry} refuses the login, or the login may not read this image",
                f"check {self._place}.{registry}",
            )
        if status in (_UNAUTHORISED, _FORBIDDEN):
            return _Refused(
                f"the registry {registry} has no public image of this name",
                f"correct the name, or add a login under {self._place}.{registry}",
            )
        if status == _MISSING:
            return _Refused(f"the registry {registry} has no such image or tag", "correct the name")
        if status == _TOO_MANY:
            return _Refused(f"the registry {registry} refuses further requests for now: too many requests")
        return _Refused(f"the registry {registry} answers with status {status}")


def _basic(login: Login) -> str:
    """Return the value of an Authorization header with a user name and password."""
    if not login.secret.is_known:
        raise _Refused("the password of the image's registry is an output, which is not known yet")
    return "Basic " + base64.b64encode(f"{login.username}:{login.secret.reveal()}".encode()).decode()


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects to HTTPS only."""

    def redirect_request(self, req: urllib.request.Request, *args: Any) -> urllib.request.Request | None:
        """After a redirect, send the request with the same method as before.

        The standard library would turn HEAD into GET.
        """
        if urlsplit(args[-1]).scheme != "https":
            args[0].close()
            raise _Refused("the image's registry redirects to an address without HTTPS")
        made = super().redirect_request(req, *args)
        if made is not None:
            made.method = req.get_method()
        return made


def _unreachable(reference: Reference, error: Exception) -> _Refused:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        why = cause.verify_message
        return _Refused(
            f"this machine does not trust the certificate of the registry {reference.registry}: {why}",
            f"set SSL_CERT_FILE to a file with the authorities to trust, or {_PIN}",
        )
    if isinstance(cause, TimeoutError):
        return _Refused(f"the registry {reference.registry} did not answer within {_TIMEOUT:.0f} s")
    why = cause.strerror if isinstance(cause, OSError) and cause.strerror else type(cause).__name__
    return _Refused(f"this machine cannot reach the registry {reference.registry}: {why}")
