"""A deployed shop with a canary in every secret input.

Outputs, processes and packets are recorded and searched for canaries.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lab import hosts, registry, stack
from tests.e2e.host.watch import Process, agents, of_folder
from tests.e2e.project import STACK, TIMEOUT, engine_environment
from tests.e2e.secrets import canaries, places
from tests.e2e.secrets.canaries import Canary
from tests.e2e.secrets.inputs import GIVEN
from tests.e2e.secrets.recorders import Recorders
from tests.e2e.secrets.search import Search, say
from tests.e2e.stack.program import Program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.pytest_lab import Host
    from tests.e2e.project import Outcome

OWN = "own.example.com"
"""A site with a certificate from elsewhere, behind a password."""
PORTS = (6379, 27017, 8099, *range(28000, 28010))
"""Where stores and apps are published: what a local user would like to have."""
_MADE = {"value", "previous", "privateKeyPem", "privateKeyOpenssh", "privateKeyPemPkcs8"}
"""Properties of what is made by the program, in the state."""


class Audited(Program):
    """The shop, with every setting that can have a secret."""

    def __init__(self, folder: Path, host: Host) -> None:
        self.given = {name: canaries.made(name) for name in GIVEN}
        # These secrets need a special form. The lab has set the registry's password.
        self.given["registry"] = Canary("registry", registry.PASSWORD)
        self.given["secrets.dns"] = canaries.made("secrets.dns", awkward=False)
        self.given["restic.repository"] = canaries.made("restic.repository", awkward=False)
        key = ec.generate_private_key(ec.SECP256R1())
        self.given["secrets.key"] = Canary("secrets.key", _pem(key))
        self.since = folder.parent / "since"
        self.since.touch()
        time.sleep(0.02)
        super().__init__(folder, host, stack.TEMPLATE.read_text())
        self.search = Search(list(self.given.values()))
        self.tmp = folder.parent / "tmp"
        self.tmp.mkdir()
        self.env |= {
            "PULUMI_CONFIG_PASSPHRASE": self.given["passphrase"].text,
            "GITHUB_TOKEN": self.given["forge"].text,
            "GITLAB_TOKEN": self.given["forge"].text,
            "PULUMI_ACCESS_TOKEN": self.given["forge"].text,
            "TMPDIR": str(self.tmp),
        }
        (folder / "own.pem").write_bytes(_certificate(key))
        self._count = 0
        self._label = ""
        self.unexpected: list[str] = []
        self.recorded: list[Recorders] = []

    def declare(self) -> None:
        """Write settings that use every canary."""
        given = {name: canary.text for name, canary in self.given.items()}
        self.set("hosts.web1", preview={}, fail2ban={"ignore": ["198.18.0.0/15", "198.51.100.0/24"]})
        for secret in ("app", "env", "visitor", "key"):
            self.encrypt(f"secrets.{secret}", given[f"secrets.{secret}"])
        self.set("apps.api", secrets=["app"], secretEnv={"CACHE_URL": "redis", "STRIPE_KEY": "env"})
        self.encrypt("apps.api.env.API_TOKEN", given["apps.env"])
        self.set(
            "apps.private", image=self.private("1"), port=8080, hostPort=8099, health="/healthz", memory=32
        )
        config = self.config()
        config["config"]["portcullis:registries"] = {registry.PRIVATE: {"username": registry.USERNAME}}
        self.write(config)
        self.login(given["registry"])
        self.set("backups", restic={"repository": "/srv/restic"})
        self.encrypt("backups.restic.password", given["restic.password"])
        self.encrypt("backups.restic.environment.AWS_SECRET_ACCESS_KEY", given["restic.environment"])
        self.encrypt("stores.mongo.formerPassword", given["mongo.formerPassword"])
        self.site(
            OWN, app="private", certificate={"chain": "own.pem", "key": "key"}, basicAuth={"vera": "visitor"}
        )

    @property
    def root(self) -> Path:
        """The root folder of the host, as a path on this machine."""
        return Path(f"/proc/{hosts.first_process(self.host.engine, self.host.record)}/root")

    @property
    def restic(self) -> dict[str, Any]:
        """The settings of restic from the settings file, with encrypted values."""
        written: dict[str, Any] = self.config()["config"]["portcullis:backups"]["restic"]
        return written

    def private(self, tag: str) -> str:
        """Return the image `hello` of the registry that needs a login."""
        return f"{registry.PRIVATE}/hello@{registry.digest('hello', tag)}"

    def processes(self, part: str) -> list[Process]:
        """Return the processes of one part of a deployment: agent, plugin, program, ssh or engine."""
        if part == "agent":
            return agents(self.host)
        words = {
            "plugin": "portcullis.provider",
            "program": "pulumi-language-python-exec",
            "ssh": "ssh ",
            "engine": "pulumi up",
        }
        return [one for one in of_folder(self.host, self.folder) if words[part] in one.command]

    def at_work(self, part: str) -> bool:
        """Return whether a part of a deployment runs. The program does so once it dumps no core any more."""
        if part != "program":
            return bool(self.processes(part))
        with contextlib.suppress(OSError):  # it has just ended
            for one in self.processes(part):
                limits = Path(f"/proc/{one.pid}/limits").read_text()
                return re.search("^Max core file size +0 ", limits, re.MULTILINE) is not None
        return False

    def no_site(self, name: str) -> None:
        """Remove a site from the settings."""
        config = self.config()
        del config["config"]["portcullis:sites"][name]
        self.write(config)

    def login(self, password: str) -> None:
        """Set the password of the registry in the settings."""
        self.encrypt(f'registries["{registry.PRIVATE}"].password', password)

    def renew(self, name: str) -> Canary:
        """Return a new canary for an input. From now on the search looks for the old and the new canary."""
        self._count += 1
        canary = canaries.made(
            f"{name} {self._count}", awkward=self.given[name].text.endswith(canaries.AWKWARD)
        )
        self.search.canaries.append(canary)
        return canary

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """During the block, record processes, packets and the input of a local listener.

        Then search the records.
        """
        recorders = Recorders(self.host, self.folder.parent / f"recorded-{len(self.recorded)}", PORTS)
        self.recorded.append(recorders)
        with recorders:
            yield
        self.learn()
        recorders.search(self.search)

    def run(
        self, verb: str, *arguments: str, fails: bool = False, timeout: float = TIMEOUT, label: str = ""
    ) -> Outcome:
        """Run a verb; `label` is what its output is called in the finds."""
        self._label = label
        return super().run(verb, *arguments, fails=fails, timeout=timeout)

    def fails(self, verb: str, *arguments: str) -> None:
        """Run a verb that has to fail, by a traceback or not; the story ends with what did not."""
        more = ["--yes", "--skip-preview"] if verb == "up" else []
        outcome = self.finish(self.start(verb, "--diff", *more, *arguments), verb, time.monotonic())
        if outcome.code == 0:
            self.unexpected.append(f"{verb} {arguments} did not fail:\n{outcome.output}")

    def finish(
        self, process: subprocess.Popen[str], verb: str, begun: float, timeout: float = TIMEOUT
    ) -> Outcome:
        """Look through what the verb said, too."""
        outcome = super().finish(process, verb, begun, timeout)
        self.search.text("output", self._label or f"pulumi {verb}", outcome.output)
        say(f"{self._label or verb}: {outcome.code} in {outcome.seconds:.0f} s")
        if outcome.code:
            say("    " + " ".join(outcome.error.split())[:300])
        self._label = ""
        return outcome

    def ours(self, *words: str, env: dict[str, str] | None = None) -> str:
        """Run a verb of `portcullis`, whatever becomes of it; return what it says."""
        done = subprocess.run(
            [sys.executable, "-m", "portcullis", *words[:1], "--stack", STACK, *words[1:]],
            cwd=self.folder, env={**self.env, **(env or {})}, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, check=False, timeout=600,
        )  # fmt: skip
        said = done.stdout + done.stderr
        self.search.text("output", f"portcullis {words[0]}", said)
        return said

    def learn(self) -> None:
        """Take what the program has made out of its state, and what certbot made off the host."""
        known = {canary.text for canary in self.search.canaries}
        exported = subprocess.run(
            ["pulumi", "stack", "export", "--stack", STACK, "--show-secrets"],
            cwd=self.folder, env=self.env, capture_output=True, text=True, check=True, timeout=600,
        ).stdout  # fmt: skip
        for resource in json.loads(exported)["deployment"].get("resources", []):
            name = resource["urn"].rpartition("::")[2]
            for key, value in resource.get("outputs", {}).items():
                made = (
                    json.loads(value["plaintext"]) if isinstance(value, dict) and "plaintext" in value else ""
                )
                if key in _MADE and made and made not in known:
                    known.add(made)
                    self.search.canaries.append(Canary(f"made {name} {key}", made))
        find = "find /etc/letsencrypt/accounts /etc/letsencrypt/archive -name 'priv*key*' -type f"
        for path in self.host.run(f"{find} 2>/dev/null; true").stdout.split():
            text = self.host.read(path)
            made = json.loads(text)["d"] if path.endswith(".json") else text
            if made not in known:
                known.add(made)
                self.search.canaries.append(Canary(f"made {path.rpartition('/')[2]}", made))
        login = self.host.identity_file.read_text()
        if login not in known:
            self.search.canaries.append(Canary("login", login))

    def look(self, moment: str) -> None:
        """Search the host and this machine in their present state."""
        self.learn()
        self.search.text("output", f"stack export {moment}", self.run("stack", "export").output)
        self.search.text("output", f"stack output {moment}", self.run("stack", "output", "--json").output)
        places.of_host(self.search, self.host, self.since)
        places.of_deployer(self.search, self.since, self.folder, self.tmp)
        self.search.tree("deployer file", Path(engine_environment()["PULUMI_HOME"]), since=self.since)
        for find in sorted(self.search.finds):
            say(f"{moment}: {find}")


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def _certificate(key: ec.EllipticCurvePrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, OWN)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=90))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(OWN)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)
