"""Run one certbot at a time, with a time limit. Errors quote the message of the certificate authority."""

from __future__ import annotations

import re
import threading
import time
from typing import TYPE_CHECKING

from portcullis.agent.errors import AgentError
from portcullis.agent.run import Done
from portcullis.components.certificates.facts import CA_VARIABLE, CREDENTIALS_VARIABLES
from portcullis.components.certificates.on_host import certbot_output

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from portcullis.agent.machine import Machine
    from portcullis.components.certificates.facts import CertificateDesired

_ISSUE = 250.0  # seconds
_SHORT = 60.0
_BUSY = 180.0  # seconds to wait for another certbot, such as a run of the timer
_MORE_TRIES = 3  # tries after a refused nonce; certbot itself tries only once more
_PROFILES = (4, 0)  # the first certbot with --preferred-profile

_KEYS = {"ecdsa": ("--elliptic-curve", "secp256r1"), "rsa": ("--rsa-key-size", "2048")}


class Certbot:
    """Runs certbot on this host."""

    def __init__(self, machine: Machine) -> None:
        """Store `machine`, which runs certbot."""
        self._machine = machine
        self._alone = threading.Lock()

    def issue(self, lineage: str, desired: CertificateDesired, *, anew: bool, other_server: bool) -> None:
        """Make certbot request a certificate for a lineage.

        Args:
            lineage: the name of the lineage.
            desired: the declared certificate.
            anew: whether the lineage already exists, so that the new certificate replaces the old one.
            other_server: whether the existing lineage is from another authority.

        Raises:
            AgentError: certbot failed (code ``certbot``), is missing or too old (``invalid``), took too long
                (``timeout``), or another certbot runs (``locked``). If certbot failed, the error quotes the
                message of the certificate authority.
        """
        if desired.profile:
            self._refuse_profile()
        argv = ["certbot", "certonly", *command(lineage, desired)]
        if anew:
            argv.append("--force-renewal")
        if other_server:
            # certbot demands this option if the new authority is only for trials, such as staging.
            argv.append("--break-my-certs")
        limit, variables = _ISSUE + float(desired.dns_propagation or 0), environment(desired)
        done = self._run(argv, limit, variables)
        if done.code and certbot_output.is_forgotten(done.text) and self._put_account_aside(desired.server):
            done = self._run(argv, limit, variables)
        for _ in range(_MORE_TRIES):
            if done.code == 0 or not certbot_output.is_worth_another_try(done.text):
                break
            done = self._run(argv, limit, variables)
        if done.code:
            why = certbot_output.reason(done.text)
            raise AgentError("certbot", why.message, prop="domains", hint=why.hint, detail=why.detail)

    def delete(self, lineage: str) -> bool:
        """Delete a lineage with certbot. Return whether certbot could delete the lineage."""
        try:
            return self._run(["certbot", "delete", "-n", "--cert-name", lineage], _SHORT, {}).code == 0
        except AgentError as error:
            if error.code != "invalid":
                raise
            return False  # certbot is not installed any more

    def _logged(self) -> str:
        """Return the message that the last run of certbot could not print, from certbot's log.

        The log contains only the last run.
        """
        try:
            text = (self._machine.letsencrypt_logs / "letsencrypt.log").read_text(errors="replace")
        except OSError:
            return ""
        return certbot_output.unmasked(text)

    def _put_account_aside(self, server: str) -> bool:
        """Rename an account that its authority does not know any more: certbot then registers a new one."""
        folder = self._machine.letsencrypt / "accounts" / server.partition("://")[2].strip("/")
        try:
            folder.rename(folder.with_name(f"{folder.name}.forgotten-{time.time():.0f}"))
        except OSError:
            return False
        return True

    def _refuse_profile(self) -> None:
        done = self._machine.run(["certbot", "--version"], timeout=_SHORT)
        found = re.search(r"(\d+)\.(\d+)", done.text)
        if found and (int(found[1]), int(found[2])) < _PROFILES:
            raise AgentError(
                "invalid",
                f"this host's certbot {found[0]} does not support certificate profiles",
                prop="profile",
                hint="remove the setting for the certificate profile, or use a system with certbot 4, such "
                "as Debian 13",
            )

    def _run(self, argv: Sequence[str], timeout: float, env: Mapping[str, str]) -> Done:
        deadline = time.monotonic() + _BUSY
        with self._alone:
            while True:
                done = self._machine.run(argv, timeout=timeout, env=env)
                if done.code and certbot_output.is_masked(done.text):
                    done = Done(done.code, self._logged() + done.out, done.err)
                if done.code == 0 or not certbot_output.is_busy(done.text):
                    return done
                if time.monotonic() > deadline or self._machine.alone.is_set():
                    raise AgentError(
                        "locked",
                        f"another certbot process has been running on this host for {_BUSY / 60:.0f} minutes",
                        hint="`systemctl status certbot.service` says whether certbot's timer started this "
                        "process",
                    )
                time.sleep(self._machine.settle)


def command(lineage: str, desired: CertificateDesired) -> list[str]:
    """Return the arguments of ``certbot certonly``, with the common name first. This function does no I/O."""
    first = desired.common_name
    names = [first, *sorted(name for name in desired.domains if name != first)]
    argv = [
        "-n",
        "--agree-tos",
        "--no-eff-email",
        *(["-m", desired.email] if desired.email else ["--register-unsafely-without-email"]),
        "--server",
        desired.server,
    ]
    argv += ["--cert-name", lineage, "--key-type", desired.key_type, *_KEYS[desired.key_type]]
    argv += _proof(desired)
    if desired.profile:
        argv += ["--preferred-profile", desired.profile]
    return argv + [word for name in names for word in ("-d", name)]


def _proof(desired: CertificateDesired) -> list[str]:
    plugin = desired.dns
    if not plugin:
        return ["--webroot", "-w", desired.webroot or ""]
    argv = ["--authenticator", f"dns-{plugin}"]
    if plugin in CREDENTIALS_VARIABLES:
        return argv
    return [
        *argv,
        f"--dns-{plugin}-credentials",
        desired.dns_credentials or "",
        f"--dns-{plugin}-propagation-seconds",
        desired.dns_propagation or "",
    ]


def environment(desired: CertificateDesired) -> dict[str, str]:
    """Return the environment variables that certbot needs: only paths, no secrets.

    This function does no I/O.
    """
    variables = {}
    if desired.ca_bundle:
        variables[CA_VARIABLE] = desired.ca_bundle
    for name in CREDENTIALS_VARIABLES.get(desired.dns, ()):
        variables[name] = desired.dns_credentials or ""
    return variables
