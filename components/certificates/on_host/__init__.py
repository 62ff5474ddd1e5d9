"""The agent's code for certificates: it runs certbot, and checks which certificate a server really shows."""

from __future__ import annotations

import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.agent import nginx_workers, x509
from portcullis.agent.claims import Claims
from portcullis.agent.errors import AgentError
from portcullis.agent.kind import Kind
from portcullis.agent.step import Step, compare
from portcullis.components.certificates.facts import (
    COVERED,
    FRESH,
    LINEAGE,
    SERVED,
    CertificateDesired,
    CertificateFacts,
    CertificateSpec,
)
from portcullis.components.certificates.on_host import (
    acme_precheck,
    certbot_output,
    challenge_folder,
    tls_leaf,
)
from portcullis.components.certificates.on_host.acme_precheck import Web
from portcullis.components.certificates.on_host.certbot_run import Certbot
from portcullis.components.certificates.on_host.lineages import Lineage, Lineages, Sites

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.machine import Machine
    from portcullis.agent.step import Json
    from portcullis.agent.store import Record, Store

# The settings by which certbot renews a lineage. If a declared setting changes, certbot issues the lineage
# again.
_RENEWED_BY = ("server", "key_type", "webroot", "dns", "dns_credentials", "dns_propagation", "profile")
_DAY, _HOUR = 86400.0, 3600.0
_SHORT_LIVED = 10 * _DAY
_AT_ONCE = 16
_LOG_TAIL = 1 << 20  # bytes of each log
_PROBE_LABEL = "portcullis-probe"  # replaces the star of a wildcard

_NGINX = "nginx.service"
_TEST_TIMEOUT, _RELOAD_TIMEOUT = 60.0, 90.0
_TAKES_UP = 30.0  # seconds in which a reloaded server replaces all its workers


@dataclass(frozen=True)
class _Found(CertificateFacts):
    """The facts, and whether the lineage has all its files and all files are valid."""

    whole: bool = True


class Certificates(Kind[CertificateSpec, CertificateDesired, _Found]):
    """Handles host resources of the kind `certificates`, which are certbot's lineages."""

    spec_type = CertificateSpec
    desired_type = CertificateDesired
    facts_type = CertificateFacts

    def __init__(self, machine: Machine, store: Store) -> None:
        """Store `machine`, which knows the paths of certbot's folders and runs certbot."""
        super().__init__(machine, store)
        self._lineages = Lineages(machine.letsencrypt)
        self._certbot = Certbot(machine)
        self._web = Web()

    def claims(self, record: Record) -> Claims:
        """Claim the files of the lineage and of certbot, so that the inventory does not report them.

        certbot's hooks are not claimed. Hooks are programs, and the inventory must report undeclared
        programs.
        """
        folder, name = self._machine.letsencrypt, str(record.spec.get("lineage", record.id))
        trees = [folder / part / name for part in ("live", "archive")]
        trees += [folder / part for part in ("accounts", "csr", "keys")]
        files = [folder / "renewal" / f"{name}.conf", folder / "live" / "README"]
        return Claims(paths=tuple(map(str, files)), trees=tuple(map(str, trees)))

    def facts(self, questions: Sequence[Question[CertificateSpec]]) -> Answers[_Found]:
        """Read many lineages in parallel, because the agent asks a server about each of them."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            sites = self._sites()
            return list(pool.map(lambda question: self._answer(question[0], sites), questions))

    def _answer(self, spec: CertificateSpec, sites: Sites) -> _Found | AgentError:
        try:
            return self._facts(spec, sites)
        except AgentError as error:
            return error

    def _sites(self) -> Sites:
        return Sites(self._machine.letsencrypt, self._machine.etc / "nginx")

    def _facts(self, spec: CertificateSpec, sites: Sites) -> _Found:
        name = _checked(spec.lineage)
        there = self._lineages.read(name)
        if there is None:
            return _Found(exists=False)
        found, certificate = _renewal(there), there.certificate
        if certificate is None:
            return replace(found, whole=False, expiry="incomplete", served=SERVED)
        return replace(
            found,
            domains=dict.fromkeys(sorted(certificate.names), COVERED),
            key_type=certificate.key_type,
            issuer=certificate.issuer,
            expiry=expiry(certificate, time.time(), lambda: self._reason(name, certificate.names)),
            served=self._served(name, spec.name, certificate, sites),
        )

    def plan(self, desired: CertificateDesired, facts: _Found) -> list[Step]:
        if not facts.exists:
            return [Step("domains", "absent", ", ".join(sorted(desired.domains)), "issue")]
        if not facts.whole:
            return [Step("lineage", "incomplete", "complete", "issue")]
        have, want = set(facts.domains), set(desired.domains)
        steps = [
            Step(f"domains.{name}", *((COVERED, "absent") if name in have else ("absent", COVERED)), "issue")
            for name in sorted(have ^ want)
        ]
        steps += compare(
            desired, facts, tuple(prop for prop in _RENEWED_BY if getattr(facts, prop) is not None), "issue"
        )
        if facts.expiry != FRESH:
            steps.append(Step("expiry", facts.expiry, FRESH, "issue"))
        if facts.served != SERVED:
            steps.append(Step("served", facts.served, SERVED, "reload"))
        return steps

    def obstacle(self, desired: CertificateDesired, facts: _Found) -> AgentError | None:
        wild = sorted(name for name in desired.domains if name.startswith("*."))
        if wild and not desired.dns:
            return AgentError(
                "invalid",
                f"{wild[0]} is a wildcard, and no authority checks a wildcard on port 80",
                prop="domains",
                hint="set dns to the plugin of its DNS provider, or declare each name",
            )
        return None

    def original(self, item: str, facts: _Found, folder: Path) -> Json:
        """Record whether a complete lineage, an incomplete lineage or no lineage existed.

        `remove` never deletes a lineage that was complete at this time.
        """
        if not facts.exists:
            return {"type": "absent"}
        return {"type": "lineage" if facts.whole else "half"}

    def apply(self, desired: CertificateDesired, steps: list[Step], work: Work) -> None:
        """Issue the certificate if needed. Reload the server if nginx's configuration uses the lineage."""
        former = nginx_workers.serving(self._machine, desired.unit) if desired.unit == _NGINX else set()
        if any(step.action == "issue" for step in steps):
            with self._answering(desired):
                self._issue(desired, work)
        if steps:
            self._reload_until_served(desired, former)

    def remove(self, desired: CertificateDesired, record: Record, folder: Path) -> str:
        """Delete the lineage, unless it existed before us."""
        name, aside = _checked(record.id), folder / "aside"
        if desired.on_delete == "keep" or record.original["type"] == "lineage":
            return "kept"
        there = self._lineages.read(name)
        used = self._sites().naming(name) if there else []
        if used:
            raise AgentError(
                "conflict",
                f"{used[0]} still uses this certificate, without which nginx would not start",
                prop="lineage",
                hint="remove the site first: let it depend on the certificate, or delete that file",
            )
        if there and not (there.certificate and self._certbot.delete(name)):
            self._lineages.discard(name)
        if self._lineages.put_back(name, aside):
            return "restored"
        return "removed" if there else "absent"

    @staticmethod
    def _answering(desired: CertificateDesired) -> AbstractContextManager[object]:
        """Keep the folder of the HTTP challenge while certbot runs.

        Otherwise certbot creates the folder and then removes it.
        """
        webroot = Path(desired.webroot or "")
        return challenge_folder.kept(webroot) if webroot.is_absolute() and webroot.is_dir() else nullcontext()

    def _issue(self, desired: CertificateDesired, work: Work) -> None:
        name, aside = _checked(work.record.id), work.folder / "aside"
        there = self._lineages.read(name)
        untried = self._precheck(desired)
        halves = there is not None and there.certificate is None
        if halves and aside.exists():
            # An interrupted run of ours left this incomplete lineage. The lineage from before that run is
            # already in `aside`.
            self._lineages.discard(name)
        elif halves:
            self._lineages.put_aside(name, aside)
        whole = there if there and there.certificate else None
        try:
            self._certbot.issue(
                name,
                desired,
                anew=whole is not None,
                other_server=whole is not None and whole.option("server") != desired.server,
            )
        except AgentError as error:
            if self._lineages.read(name) is None:
                self._lineages.put_back(name, aside)
            raise AgentError(
                error.code,
                error.message,
                prop=error.prop,
                hint=error.hint,
                detail="\n".join([error.detail, *(f"(not checked) {line}" for line in untried)]).strip(),
            ) from None
        if work.record.original["type"] != "half":
            shutil.rmtree(aside, ignore_errors=True)

    def _precheck(self, desired: CertificateDesired) -> list[str]:
        if desired.dns or not desired.precheck:
            return []
        return acme_precheck.check(sorted(desired.domains), Path(desired.webroot or ""), self._web)

    def _reload_until_served(self, desired: CertificateDesired, former: set[int]) -> None:
        """Reload the server if it shows another certificate.

        Wait until the server shows only this certificate. certbot's hook may have reloaded nginx already.
        `former` are nginx's workers from before the change. Until these workers exit, some connections see
        the old certificate.
        """
        unit, spec = desired.unit, desired.spec()
        if not unit or not self._sites().naming(spec.lineage):
            return
        with self._machine.readers.reading():
            reloaded, deadline = False, time.monotonic() + _TAKES_UP
            while time.monotonic() < deadline:
                if self._facts(spec, self._sites()).served != SERVED:
                    if not reloaded:
                        self._reload(unit)
                        reloaded, deadline = True, time.monotonic() + _TAKES_UP
                elif not (former and former & nginx_workers.serving(self._machine, unit)):
                    return
                time.sleep(0.1)

    def _reload(self, unit: str) -> None:
        if unit == _NGINX:
            failure = "nginx refuses its configuration, so it was not reloaded"
            self._run(["nginx", "-t"], _TEST_TIMEOUT, failure)
        failure = f"systemd cannot reload {unit}"
        self._run(["systemctl", "--no-pager", "reload", unit], _RELOAD_TIMEOUT, failure)

    def _run(self, argv: list[str], timeout: float, failure: str) -> None:
        done = self._machine.run(argv, timeout=timeout)
        if done.code:
            raise AgentError(
                "test-failed",
                failure,
                prop="served",
                hint="the host has the new certificate; correct the fault that the output shows, then run "
                "`pulumi up` again",
                detail="\n".join(done.text.splitlines()[-15:]),
            )

    def _served(self, lineage: str, name: str, certificate: x509.Certificate, sites: Sites) -> str:
        """Return what is wrong with the certificate that a server on this host shows, or `SERVED`.

        The result is `SERVED` also if no server answers. Another certificate is no fault while no site of
        nginx uses this lineage. The certificate is issued before the site exists, and until then another site
        answers.
        """
        found = tls_leaf.shown(self._machine.https, name.replace("*", _PROBE_LABEL, 1))
        if found is None:
            return SERVED
        try:
            other = x509.parse(found)
        except ValueError:
            return "something that is not a certificate"
        if other.digest == certificate.digest or not sites.naming(lineage):
            return SERVED
        if set(other.names) & set(certificate.names):
            age = "an older" if other.begins < certificate.begins else "another"
            until = time.strftime("%Y-%m-%d", time.gmtime(other.ends))
            return f"{age} certificate of this name, until {until}"
        return f"a certificate for {other.names[0] if other.names else 'no name'}"

    def _reason(self, lineage: str, names: tuple[str, ...]) -> str:
        logs = [self._machine.letsencrypt_logs / file for file in ("letsencrypt.log.1", "letsencrypt.log")]
        return certbot_output.last_reason("".join(map(_tail, logs)), lineage, names)


def expiry(certificate: x509.Certificate, now: float, reason: Callable[[], str]) -> str:
    """Return ``fresh``, or a text that says when the certificate ends and why it was not renewed in time.

    certbot renews when a third of the lifetime is left, or a half if the lifetime is under ten days.
    certbot's timer runs twice a day at a random moment. A day may lie between two runs, so a day of delay is
    not a fault yet. If the lifetime is short, a delay is a fault as soon as it is longer than a sixth of the
    lifetime. So the fault shows well before the certificate ends.
    """
    lifetime, left = certificate.ends - certificate.begins, certificate.ends - now
    due = lifetime / (2 if lifetime < _SHORT_LIVED else 3)
    if left >= due - min(_DAY, lifetime / 6):
        return FRESH
    why = reason() or "certbot's log shows no attempt; does certbot.timer run?"
    if left < 0:
        return f"expired {_span(-left)} ago: {why}"
    return f"ends in {_span(left)} (issued for {round(lifetime / _DAY)} days): {why}"


def _span(seconds: float) -> str:
    for unit, length in (("day", _DAY), ("hour", _HOUR), ("minute", 60.0)):
        count = int(seconds // length)
        if count > (1 if unit == "day" else 0):
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return "a moment"


def _renewal(there: Lineage) -> _Found:
    """Return the facts from the lineage's renewal settings.

    Fields that only the other challenge uses stay None.
    """
    found = _Found(exists=True, server=there.option("server"), profile=there.option("preferred_profile"))
    authenticator = there.option("authenticator")
    if authenticator == "webroot":
        return replace(found, webroot=there.option("webroot_path").partition(",")[0])
    if not authenticator.startswith("dns-"):
        return replace(found, dns=f"<{authenticator or 'nothing'}>")
    plugin = authenticator[len("dns-") :]
    return replace(
        found,
        dns=plugin,
        dns_credentials=there.option(f"dns_{plugin}_credentials") or None,
        dns_propagation=there.option(f"dns_{plugin}_propagation_seconds") or None,
    )


def _checked(lineage: str) -> str:
    if not LINEAGE.fullmatch(lineage):
        raise AgentError(
            "invalid", f"{lineage!r} is not a valid lineage name, such as www.example.com", prop="lineage"
        )
    return lineage


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - _LOG_TAIL))
            return log.read().decode("utf-8", "replace")
    except OSError:
        return ""
