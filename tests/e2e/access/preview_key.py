"""A person who has the preview key of a deployed shop, and tries to misuse the key."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from portcullis.components.previews.render import ACCOUNT, ASK_AGENT
from tests.e2e.project import STACK, Outcome

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.stack.program import Program

STACK_ID = f"portcullis/{STACK}"
DOCKER = "docker system dial-stdio"


@dataclass
class Holder:
    """A person with the preview key, and a checkout whose code they can change, as in a pull request."""

    shop: Program
    folder: Path
    key: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.key = self.folder / "preview"
        self.key.touch(mode=0o600)
        self.key.write_text(str(self.outputs()["previewKey-web1"]))
        host = self.shop.host
        (self.folder / "known_hosts").write_text(f"{host.address} {host.host_key}\n")

    def outputs(self) -> dict[str, Any]:
        argv = ["pulumi", "stack", "output", "--json", "--show-secrets", "--stack", STACK]
        done = subprocess.run(
            argv,
            cwd=self.shop.folder,
            env=self.shop.env,
            capture_output=True,
            text=True,
            check=True,
            timeout=600,
        )
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def verb(self, verb: str, *arguments: str, fails: bool = False) -> Outcome:
        """Run a verb of Pulumi's with the preview key and no other."""
        begun = time.monotonic()
        env = {
            "PORTCULLIS_ACCESS": "preview",
            "PORTCULLIS_PREVIEW_KEY_FILE": str(self.key),
            "SSH_AUTH_SOCK": "",
            "HOME": str(self.folder),
        }
        process = self.shop.start(verb, *arguments, env=env)
        outcome = self.shop.finish(process, verb, begun)
        assert (outcome.code != 0) == fails, outcome.output
        assert "Traceback" not in outcome.output, outcome.output
        return outcome

    def preview(self, *arguments: str, fails: bool = False) -> Outcome:
        return self.verb("preview", "--diff", *arguments, fails=fails)

    def argv(self, *options: str, user: str = ACCOUNT) -> list[str]:
        argv = ["ssh", "-F", "/dev/null", "-i", str(self.key)]
        for option in (
            f"UserKnownHostsFile={self.folder / 'known_hosts'}",
            "IdentitiesOnly=yes",
            "BatchMode=yes",
            "ExitOnForwardFailure=yes",
            "LogLevel=INFO",
            "ConnectionAttempts=5",
        ):
            argv += ["-o", option]
        return [*argv, *options, f"{user}@{self.shop.host.address}"]

    def ssh(
        self, *options: str, command: str | None = None, sent: bytes = b"", env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        argv = [*self.argv(*options), *([] if command is None else [command])]
        return subprocess.run(argv, input=sent, capture_output=True, timeout=60, check=False, env=env)

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send one request to the agent. A changed client could send any request."""
        sent = json.dumps({"id": 1, "stack": STACK_ID, **request}).encode() + b"\n"
        done = self.ssh(command=ASK_AGENT, sent=sent)
        word, answer, ended = done.stdout.decode().splitlines()
        assert (word, ended) == ("have", "ended"), done
        found: dict[str, Any] = json.loads(answer)
        return found

    def docker(self, request: bytes) -> bytes:
        """Send a request to Docker, as the Docker client does over SSH."""
        return self.ssh(command=DOCKER, sent=request).stdout
