"""Makes the stack of the torture drill, and starts its deeds. A deed is a deployment that is interrupted."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from lab import network
from lab.relay import Relay
from tests.e2e.project import STACK
from tests.e2e.stack.program import SITE, Program

if TYPE_CHECKING:
    from pathlib import Path

    from lab.pytest_lab import Host
    from tests.e2e.project import Outcome

STATIC = "static.example.com"
PAGE = "a page that never changes\n"
BACKUP = "portcullis-backup.service"
SECONDS = {"update": 9, "release": 14, "rotate": 16, "add": 12, "restore": 4, "up": 60, "destroy": 25}
"""How long each deed takes about; within it the victim is struck."""


class Tortured(Program):
    """A host with an app, a store with backups, the app's site and a static site, reached through a relay."""

    def __init__(self, folder: Path, host: Host) -> None:
        # The relay has the same port as the host's sshd, because the settings have only one SSH port.
        near = f"127.0.0.{host.record.number}"
        self.relay = Relay((host.address, host.ssh_port), (near, host.ssh_port))
        super().__init__(folder, host, address=near)
        (folder / "static").mkdir()
        (folder / "static" / "index.html").write_text(PAGE)
        self.set("stores", redis={"image": self.image("redis:7")})
        self.set("apps.hello", hostPort=None, uses=["redis"])
        # The visitor has the deployer's address, and also requests sites that are removed. Do not ban this
        # address.
        self.set("hosts.web1", fail2ban=self._fail2ban(5))
        limits = {"requests": 0, "connections": 0}
        self.site(SITE, limits=limits)
        self.site(STATIC, root="static", tls="none", limits=limits)
        self._count = 0

    def close(self) -> None:
        super().close()
        self.relay.close()

    def cancel(self) -> Outcome:
        """Follow docs/troubleshooting.md for a stack whose engine was killed."""
        for attributes in (self.folder / "state").glob(".pulumi/stacks/*/*.attrs"):
            if not attributes.stat().st_size:
                attributes.unlink()
        return super().cancel()

    def begin(self, deed: str) -> subprocess.Popen[str]:
        """Start a deed, after what has to be so before it."""
        self._count += 1
        if deed == "restore":
            self.host.run(["systemctl", "start", BACKUP])
            return self._restore()
        if deed == "up":
            self.destroy()
        if deed == "destroy":
            return self.start("destroy", "--yes", "--skip-preview")
        getattr(self, f"_{deed}")()
        return self.start("up", "--yes", "--skip-preview")

    @staticmethod
    def _fail2ban(tries: int) -> dict[str, Any]:
        return {"maxRetry": tries, "ignore": [network.MACHINE_ADDRESS.v4]}

    def _up(self) -> None:
        """Change no setting: the deed `up` deploys the present settings."""

    def _update(self) -> None:
        self.site(STATIC, headers={"X-Round": str(self._count)})
        self.set("hosts.web1", fail2ban=self._fail2ban(3 + self._count % 5))
        self.set("apps.hello", memory=64 + self._count % 8)

    def _release(self) -> None:
        now = self._app()["image"]
        self.set("apps.hello", image=next(i for i in map(self.image, ("hello:1", "hello:2")) if i != now))

    def _rotate(self) -> None:
        self.set("stores.redis", rotate=f"round-{self._count}")

    def _add(self) -> None:
        """Add a second app with its site, or remove it."""
        config = self.config()["config"]
        there = "more" in config["portcullis:apps"]
        app = {"image": self.image("hello:1"), "port": 8080, "health": "/healthz", "uses": ["redis"]}
        self.set("apps", more=None if there else app)
        self.set("sites", **{"more.example.com": None if there else {"app": "more", "tls": "none"}})

    def _app(self) -> dict[str, Any]:
        app: dict[str, Any] = self.config()["config"]["portcullis:apps"]["hello"]
        return app

    def converge(self, timeout: float) -> None:
        """Deploy, as people do."""
        begun = time.monotonic()
        process = self._portcullis("up", "--stack", STACK, "--yes", "--skip-preview")
        ended = self.finish(process, "portcullis up", begun, timeout)
        assert ended.code == 0, f"the `up` after the deed ended with {ended.code}:\n{ended.output}"
        ended.lacks("Traceback")

    def _restore(self) -> subprocess.Popen[str]:
        to_host = ["restore", "--stack", STACK, "--host", "web1", "--yes"]
        return self._portcullis(*to_host, "--from", "latest", "redis")

    def _portcullis(self, *words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "portcullis", *words],
            cwd=self.folder, env=self.env, text=True, process_group=0,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._running.append(process)
        return process
