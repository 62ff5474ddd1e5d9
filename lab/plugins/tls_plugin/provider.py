"""The tls provider: 5.6.2's behaviour. Everything happens in this process; there is nothing to read back."""

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
    make: str  # the name of the function that makes one, imported when it is called
    meta: str = ""


_KINDS = {
    "tls:index/privateKey:PrivateKey": _Kind(schema.PRIVATE_KEY, "private_key", '{"schema_version":"1"}'),
    "tls:index/certRequest:CertRequest": _Kind(schema.CERT_REQUEST, "cert_request"),
    "tls:index/selfSignedCert:SelfSignedCert": _Kind(schema.SELF_SIGNED_CERT, "self_signed_cert"),
    "tls:index/locallySignedCert:LocallySignedCert": _Kind(schema.LOCALLY_SIGNED_CERT, "locally_signed_cert"),
}
_PROVIDER = {"version": text(), "pluginDownloadURL": text()}


class TlsPlugin:
    """See Plugin."""

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
        """It has no settings but its version; `proxy` is refused."""
        return Checker(self.package, marks_defaults=False).check(_PROVIDER, news)

    def configure(self, args: Properties) -> None:
        """Nothing to remember."""

    def check(self, target: Target, olds: Properties, news: Properties) -> tuple[Properties, list[Problem]]:
        """Checked inputs; private keys become secrets."""
        del olds
        inputs, problems = Checker(self.package, marks_defaults=False).check(self._kind(target).fields, news)
        # A key that is given as write-only is refused as such, and is not missing.
        return inputs, [each for each in problems if each[0] in news or f"{each[0]}Wo" not in news]

    def diff(self, target: Target, olds: Properties, news: Properties) -> Answer:
        """What would change. A certificate that is due is made anew, as officially."""
        fields = self._kind(target).fields
        found = differences(fields, olds, news)
        if "readyForRenewal" in fields:
            due = self._due(olds | {k: v for k, v in news.items() if k == "earlyRenewalHours"})
            # One that was due and is not any more, with fewer earlyRenewalHours, is planned as not ready.
            if due or olds.get("readyForRenewal"):
                found.append(Difference("readyForRenewal", "UPDATE", replaces=due))
        return Answer(found, detailed=bool(found))

    def create(self, target: Target, inputs: Properties, *, preview: bool) -> tuple[str, Properties]:
        """Make it."""
        kind = self._kind(target)
        if preview:
            facts: Properties = {key: UNKNOWN for key, known in kind.fields.items() if known.output}
            return "", self._whole(kind, "", inputs, facts)
        id_, facts = _maker(kind.make)(reveal(inputs))
        return id_, self._whole(kind, id_, inputs, facts)

    def read(self, target: Target, state: Properties, inputs: Properties) -> Found | None:
        """What is stored, with the age of a certificate told anew."""
        kind = self._kind(target)
        after = _marked(kind.fields, state)
        if "readyForRenewal" in kind.fields and self._due(state):
            after["readyForRenewal"] = True
        return Found(target.id, after, _marked(kind.fields, inputs))

    def update(self, target: Target, olds: Properties, news: Properties, *, preview: bool) -> Properties:
        """Only a certificate's earlyRenewalHours changes in place."""
        del preview
        kind = self._kind(target)
        ready = {"readyForRenewal": False} if "readyForRenewal" in kind.fields else {}
        known = {key: value for key, value in news.items() if key in kind.fields}
        return _marked(kind.fields, olds | known | ready)

    def delete(self, target: Target, state: Properties) -> None:
        """Forget it."""
        del state
        self._kind(target)

    def close(self) -> None:
        """Nothing is open."""

    def _kind(self, target: Target) -> _Kind:
        if target.type not in _KINDS:
            raise NotCoveredError(self.package, f"resources of type {target.type} ({target.name})")
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
    """The values, secrets wrapped."""
    return {
        key: secret(value) if key in fields and fields[key].secret else value
        for key, value in values.items()
        if key != "__pulumi_raw_state_delta"
    }


def _maker(name: str) -> Callable[[Properties], Make]:
    """The function that makes one. Importing cryptography takes time, which a preview need not spend."""
    from lab.plugins.tls_plugin import certificates, keys  # noqa: PLC0415

    makers = {
        "private_key": keys.private_key,
        "cert_request": certificates.cert_request,
        "self_signed_cert": certificates.self_signed_cert,
        "locally_signed_cert": certificates.locally_signed_cert,
    }
    return makers[name]


def plugin(log: Log) -> Plugin:
    """The stand-in; it has nothing to show."""
    del log
    return TlsPlugin()
