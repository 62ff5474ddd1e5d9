"""The tls provider.

The stand-in behaves like version 5.6.2 of the tls plugin. All keys and certificates are made in this process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.plugins.diff import Difference, differences
from lab.plugins.errors import NotCoveredError
from lab.plugins.fields import Checker, Field, Problem, text
from lab.plugins.plugin import Answer, Found
from lab.plugins.tls_plugin import schema
from lab.plugins.values import UNKNOWN, Properties, reveal, secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lab.plugins.plugin import Log, Plugin, Target

Make = tuple[str, Properties]


@dataclass(frozen=True, slots=True)
class _Kind:
    fields: Mapping[str, Field]
    make: str  # the name of the function that makes a thing of this type; the first call imports it
    meta: str = ""


_KINDS = {
    "tls:index/privateKey:PrivateKey": _Kind(schema.PRIVATE_KEY, "private_key", '{"schema_version":"1"}'),
    "tls:index/certRequest:CertRequest": _Kind(schema.CERT_REQUEST, "cert_request"),
    "tls:index/selfSignedCert:SelfSignedCert": _Kind(schema.SELF_SIGNED_CERT, "self_signed_cert"),
    "tls:index/locallySignedCert:LocallySignedCert": _Kind(schema.LOCALLY_SIGNED_CERT, "locally_signed_cert"),
}
_PROVIDER = {"version": text(), "pluginDownloadURL": text()}


class TlsPlugin:
    """The tls provider. `Plugin` describes its methods."""

    package = "tls"
    version = "5.6.2"
    no_handshake = "Handshake is not yet implemented"
    no_diff_config = ""
    handshake: dict[str, bool] = {}  # noqa: RUF012 - never changed
    configured = {  # noqa: RUF012
        "supportsPreview": True,
        "acceptResources": True,
        "supports_autonaming_configuration": True,
    }

    def check_config(self, news: Properties) -> tuple[Properties, list[Problem]]:
        """Check the settings of the provider, which are only the version. The setting `proxy` is refused."""
        return Checker(self.package, marks_defaults=False).check(_PROVIDER, news)

    def configure(self, args: Properties) -> None:
        """Do nothing, because the provider has no settings."""

    def check(self, target: Target, olds: Properties, news: Properties) -> tuple[Properties, list[Problem]]:
        """Return the checked inputs. Private keys become secrets."""
        del olds
        inputs, problems = Checker(self.package, marks_defaults=False).check(self._kind(target).fields, news)
        # A write-only key is refused with its own message. Such a key does not count as missing.
        return inputs, [each for each in problems if each[0] in news or f"{each[0]}Wo" not in news]

    def diff(self, target: Target, olds: Properties, news: Properties) -> Answer:
        """Return the differences of a resource.

        Like the official plugin, replace a certificate that is due for renewal.
        """
        fields = self._kind(target).fields
        found = differences(fields, olds, news)
        if "readyForRenewal" in fields:
            due = self._due(olds | {k: v for k, v in news.items() if k == "earlyRenewalHours"})
            # With fewer earlyRenewalHours a certificate may no longer be due. In that case the plan shows it.
            if due or olds.get("readyForRenewal"):
                found.append(Difference("readyForRenewal", "UPDATE", replaces=due))
        return Answer(found, detailed=bool(found))

    def create(self, target: Target, inputs: Properties, *, preview: bool) -> tuple[str, Properties]:
        """Make the key, request or certificate."""
        kind = self._kind(target)
        if preview:
            facts: Properties = {key: UNKNOWN for key, known in kind.fields.items() if known.output}
            return "", self._whole(kind, "", inputs, facts)
        id_, facts = _maker(kind.make)(reveal(inputs))
        return id_, self._whole(kind, id_, inputs, facts)

    def read(self, target: Target, state: Properties, inputs: Properties) -> Found | None:
        """Return the stored state, and check again whether a certificate is due for renewal."""
        kind = self._kind(target)
        after = _marked(kind.fields, state)
        if "readyForRenewal" in kind.fields and self._due(state):
            after["readyForRenewal"] = True
        return Found(target.id, after, _marked(kind.fields, inputs))

    def update(self, target: Target, olds: Properties, news: Properties, *, preview: bool) -> Properties:
        """Change earlyRenewalHours of a certificate. No other property changes in place."""
        del preview
        kind = self._kind(target)
        ready = {"readyForRenewal": False} if "readyForRenewal" in kind.fields else {}
        known = {key: value for key, value in news.items() if key in kind.fields}
        return _marked(kind.fields, olds | known | ready)

    def delete(self, target: Target, state: Properties) -> None:
        """Do nothing, because the key or certificate exists only in the state."""
        del state
        self._kind(target)

    def close(self) -> None:
        """Do nothing, because the provider has no connections."""

    def _kind(self, target: Target) -> _Kind:
        if target.type not in _KINDS:
            raise NotCoveredError(
                self.package,
                f"the lab's stand-in does not support resources of type {target.type} ({target.name})",
            )
        return _KINDS[target.type]

    @staticmethod
    def _due(state: Properties) -> bool:
        from lab.plugins.tls_plugin.renewal import ready_for_renewal  # noqa: PLC0415

        return ready_for_renewal(state)

    @staticmethod
    def _whole(kind: _Kind, id_: str, inputs: Properties, facts: Properties) -> Properties:
        defaults = {key: known.default for key, known in kind.fields.items() if known.default is not None}
        meta = {"__meta": kind.meta} if kind.meta else {}
        return _marked(kind.fields, defaults | inputs | facts) | meta | ({"id": id_} if id_ else {})


def _marked(fields: Mapping[str, Field], values: Properties) -> Properties:
    """Return the values, and mark the secret values as secret."""
    return {
        key: secret(value) if key in fields and fields[key].secret else value
        for key, value in values.items()
        if key != "__pulumi_raw_state_delta"
    }


def _maker(name: str) -> Callable[[Properties], Make]:
    """Return the function that makes a key, request or certificate of this type.

    The library cryptography is imported only when the function is called, because a preview does not need it.
    """
    from lab.plugins.tls_plugin import certificates, keys  # noqa: PLC0415

    makers = {
        "private_key": keys.private_key,
        "cert_request": certificates.cert_request,
        "self_signed_cert": certificates.self_signed_cert,
        "locally_signed_cert": certificates.locally_signed_cert,
    }
    return makers[name]


def plugin(log: Log) -> Plugin:
    """Return the stand-in for the tls plugin. The stand-in shows no messages to the user."""
    del log
    return TlsPlugin()
