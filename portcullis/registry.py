"""Asks registries for the digests of tags. The deploying machine sends the requests.

The digest becomes part of the image's name. So the state records which image runs, and a tag that was moved
shows as a difference in the next preview. A question is one HEAD request and at most two login requests (OCI
Distribution Specification 1.1, "Pulling manifests"). The standard library is enough for that.

Two alternatives do less:

- python-dxf 12.1 could replace the request and the login, 50 lines of this file. It follows a redirect to
  HTTP. If a token address lacks HTTPS, it rewrites the address instead of refusing it. It needs the library
  requests, which trusts its own list of authorities instead of the system's, and sends logins from ~/.netrc.
- pulumi-docker's `getRegistryImage` answers while the program runs, as an Output, and stops at the first
  failure. We report all faults of the settings at once, before the first resource. It takes logins from the
  provider's inputs, which puts the logins into the state.
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
"""The registry of image names that name no registry."""
_HUB_HOST = "registry-1.docker.io"
_HUB_NAMES = ("index.docker.io", _HUB_HOST)
_TIMEOUT = 15.0  # seconds for one request
_PARALLEL = 8
_LARGEST = 4 * 1024 * 1024  # bytes of a manifest: the limit in the specification
_MANIFESTS = ", ".join(
    (
        # Indexes come first: the digest must stand for the image on every architecture.
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
    """A login at a registry from the settings."""

    @property
    def username(self) -> str:
        """The user name."""

    @property
    def secret(self) -> Secret:
        """The password."""


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
    """A registry gave no digest: the reason, and a hint what to do."""

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
    """Add the digest to each image that is named by tag. An image with a digest stays as it is.

    All requests use HTTPS and run in parallel, one for each image. The trusted authorities are those of the
    system. The variables SSL_CERT_FILE and SSL_CERT_DIR, which OpenSSL reads, replace them.

    Args:
        references: the name of each image by its path in the settings: `NAME:TAG`, or a name with a digest.
        logins: the logins by registry, such as "ghcr.io" or "docker.io".
        place: the path of the logins in the settings, for messages.
        ca_file: further authorities to trust, in PEM.

    Returns:
        The same paths with `NAME:TAG@sha256:…`.

    Raises:
        SettingsError: with a fault for every image whose registry gives no digest. No fault quotes a
            credential.
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
    """Return the login at an image's registry, or None. The image has a tag, a digest or both."""
    return _by_registry(logins).get(parse(image.partition("@")[0]).registry)


def _by_registry(logins: Mapping[str, L]) -> dict[str, L]:
    """Return the logins under the one name that `parse` uses for Docker Hub."""
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
        """Return the digest of the manifest.

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
            raise _Refused("its manifest is larger than the specification allows")
        return "sha256:" + hashlib.sha256(body).hexdigest()

    def _login(self, reference: Reference, challenge: str) -> str:
        """Return the Authorization header that a registry asks for (Docker's RFC 6750 form, or RFC 7617)."""
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
            raise _Refused(f"the registry {reference.registry} gave no token")
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
        raise _Refused("the password of its registry is an output, which is not known yet")
    return "Basic " + base64.b64encode(f"{login.username}:{login.secret.reveal()}".encode()).decode()


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects to HTTPS only."""

    def redirect_request(self, req: urllib.request.Request, *args: Any) -> urllib.request.Request | None:
        """Keep the method of the request. The library would turn a HEAD into a GET."""
        if urlsplit(args[-1]).scheme != "https":
            args[0].close()
            raise _Refused("its registry redirects to an address without HTTPS")
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
