"""From an image's tag to the digest that it stands for now; the machine that deploys asks the registry.

The digest goes into the name of the image, so state records what runs and a tag that was moved is a
difference in the next preview. Asking is a HEAD request and a login or two (OCI Distribution Specification
1.1, "Pulling manifests"), which takes the standard library.

Two alternatives do less:

- python-dxf 12.1 could replace the request and the login, 50 lines of this file. It follows a redirect to
  HTTP and rewrites a token address without HTTPS instead of refusing it. It brings requests, which trusts its
  own list of authorities, not the system's, and sends what ~/.netrc holds for a registry.
- pulumi-docker's `getRegistryImage` answers while the program runs, as an Output, and stops at the first
  failure. We report all faults of the settings at once, before the first resource. It takes logins from the
  provider's inputs, which puts them into the state.
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
"""The registry of names without one."""
_HUB_HOST = "registry-1.docker.io"
_HUB_NAMES = ("index.docker.io", _HUB_HOST)
_TIMEOUT = 15.0  # seconds for one request
_PARALLEL = 8
_LARGEST = 4 * 1024 * 1024  # bytes of a manifest; the specification's own limit
_MANIFESTS = ", ".join(
    (
        # An index first: the digest has to stand for the image on every architecture.
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_UNAUTHORISED, _FORBIDDEN, _MISSING, _NO_HEAD, _TOO_MANY = 401, 403, 404, 405, 429
_PIN = "pin the digest, NAME@sha256:…, which asks no registry"


class Login(Protocol):
    """A login at a registry, as the settings have it."""

    @property
    def username(self) -> str:
        """Who logs in."""

    @property
    def secret(self) -> Secret:
        """The password."""


L = TypeVar("L", bound=Login)


@dataclass(frozen=True, slots=True)
class Reference:
    """An image's name taken apart, as Docker does (distribution/reference)."""

    registry: str
    repository: str
    tag: str

    @property
    def host(self) -> str:
        """Where the registry answers."""
        return _HUB_HOST if self.registry == HUB else self.registry


def parse(name: str) -> Reference:
    """Take a name with a tag apart."""
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
    """Why a digest is not had: a reason, and what to do about it."""

    def __init__(self, reason: str, hint: str = _PIN) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


class _Status(Exception):
    """An answer that is none: its status, and the login that it asks for."""

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
    """Give each image that is named by tag its digest; one that has a digest already stays as it is.

    Registries are asked over HTTPS only, in parallel, each image once. CAs are those of the system, or of
    the file or folder in SSL_CERT_FILE or SSL_CERT_DIR, which OpenSSL reads.

    Args:
        references: where each image stands in the settings, to its name: `NAME:TAG`, or one with a digest.
        logins: registry, such as "ghcr.io" or "docker.io", to the login there.
        place: where the logins stand, for people.
        ca_file: CAs to trust beside those, in PEM.

    Returns:
        The same paths, to `NAME:TAG@sha256:…`.

    Raises:
        SettingsError: with a fault for every image whose digest is not to be had. None quotes a credential.
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
    """Return the login at an image's registry, if there is one; the image has a tag, a digest or both."""
    return _by_registry(logins).get(parse(image.partition("@")[0]).registry)


def _by_registry(logins: Mapping[str, L]) -> dict[str, L]:
    """Return them with the one name that `parse` has for Docker's own registry."""
    return {HUB if name in _HUB_NAMES else name: login for name, login in logins.items()}


class _Asking:
    """Asks registries for digests. Safe for several threads."""

    def __init__(self, logins: Mapping[str, Login], place: str, ca_file: str | None) -> None:
        self._logins, self._place = _by_registry(logins), place
        context = ssl.create_default_context()
        if ca_file:
            context.load_verify_locations(ca_file)
        # Proxies come from the environment, as everybody's; nothing but HTTPS is ever opened.
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
        """Return the digest of an image, or why it is not had."""
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
        """Return the digest of what is there; registries that do not say it, or know no HEAD, are read."""
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
            raise _Refused("its manifest is larger than a registry may serve")
        return "sha256:" + hashlib.sha256(body).hexdigest()

    def _login(self, reference: Reference, challenge: str) -> str:
        """Return the header that a registry asks for (RFC 6750 in Docker's words, or RFC 7617)."""
        login = self._logins.get(reference.registry)
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "basic":
            if login is None:
                raise self._refused(reference, _UNAUTHORISED)
            return _basic(login)
        asked = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        realm = asked.get("realm", "")
        if scheme.lower() != "bearer" or urlsplit(realm).scheme != "https":
            raise _Refused(f"the registry {reference.registry} asks for a login that is not understood")
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
            # Not sent along to wherever the registry redirects to.
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
                f"the registry {registry} refuses this login, or the login may not read it",
                f"look at {self._place}.{registry}",
            )
        if status in (_UNAUTHORISED, _FORBIDDEN):
            return _Refused(
                f"the registry {registry} has no such image for everybody",
                f"correct the name, or give {self._place}.{registry} a login",
            )
        if status == _MISSING:
            return _Refused(f"the registry {registry} has no such image or tag", "correct the name")
        if status == _TOO_MANY:
            return _Refused(f"the registry {registry} answers no more for now: too many requests")
        return _Refused(f"the registry {registry} answers with status {status}")


def _basic(login: Login) -> str:
    """Return the value of a header."""
    if not login.secret.is_known:
        raise _Refused("the password of its registry is known only later: it is an output")
    return "Basic " + base64.b64encode(f"{login.username}:{login.secret.reveal()}".encode()).decode()


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """Follows a redirect to HTTPS, and none to anything else."""

    def redirect_request(self, req: urllib.request.Request, *args: Any) -> urllib.request.Request | None:
        """Keep the method; the library turns a HEAD into a GET."""
        if urlsplit(args[-1]).scheme != "https":
            args[0].close()
            raise _Refused("its registry sends elsewhere without HTTPS")
        made = super().redirect_request(req, *args)
        if made is not None:
            made.method = req.get_method()
        return made


def _unreachable(reference: Reference, error: Exception) -> _Refused:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        why = cause.verify_message
        return _Refused(
            f"the certificate of the registry {reference.registry} is not trusted here: {why}",
            "SSL_CERT_FILE names a file of CAs to trust; or " + _PIN,
        )
    if isinstance(cause, TimeoutError):
        return _Refused(f"the registry {reference.registry} did not answer within {_TIMEOUT:.0f} s")
    why = cause.strerror if isinstance(cause, OSError) and cause.strerror else type(cause).__name__
    return _Refused(f"the registry {reference.registry} cannot be asked: {why}")
