"""A real server for tests without a host: the lab's image, unpacked, with a network of its own.

The server runs as in a container: as user 999, with the files and the options that it gets there.
"""

from __future__ import annotations

import os
import shlex
import signal
import stat
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from portcullis.agent.run import Done

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lab.systems import System

_ALONE = ["unshare", "--net", "--mount", "--kill-child", "--fork"]


class Unpacked(ABC):
    """A server in the folder `root`, which is the root of its file system.

    Attributes:
        container: the name that `docker exec` gives.
        answers: a shell script that fails until the server answers.
        end: the signal that ends the server.
        seen: the commands that a `Machine` ran.
    """

    container: ClassVar[str]
    answers: ClassVar[str]
    end: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, root: Path, system: System) -> None:
        """Unpack the file system into the new folder `root`."""
        self.root = root
        self.process: subprocess.Popen[bytes] | None = None
        self.seen: list[Sequence[str]] = []
        root.mkdir()
        subprocess.run(["tar", "-xf", system.ready(), "-C", root], check=True)
        (root / "dev").mkdir(exist_ok=True)
        for name, minor in {"null": 3, "zero": 5, "urandom": 9}.items():
            os.mknod(root / "dev" / name, 0o666 | stat.S_IFCHR, os.makedev(1, minor))
            (root / "dev" / name).chmod(0o666)

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Return the command of the container."""

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """Return the variables of the container. PATH may be among them."""

    @property
    def log(self) -> str:
        """What the server wrote."""
        return (self.root / "log").read_text()

    def variables_of_process(self) -> str:
        """Return the environment of the process that runs."""
        assert self.process
        return Path(f"/proc/{_child(self.process.pid)}/environ").read_text()

    def start(self, env: Mapping[str, str] | None = None) -> None:
        """Start the server, and wait until it answers."""
        script = f"ip link set lo up; exec {shlex.join([*self._inside(), *self.command()])}"
        with (self.root / "log").open("ab") as log:
            argv = [*_ALONE, "sh", "-c", script]
            self.process = subprocess.Popen(argv, env=self._env(env or {}), stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while self.sh(self.answers).code:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.1)

    def stop(self) -> None:
        """End the server."""
        if self.process:
            if child := _child(self.process.pid):
                os.kill(child, self.end)
            self.process.wait(60)
            self.process = None

    def sh(self, script: str, *words: str, env: Mapping[str, str] | None = None, text: str = "") -> Done:
        """Run a shell script beside the server, as `docker exec` does."""
        done = subprocess.run(
            [*self._beside(), "sh", "-c", script, *words],
            env=self._env(env or {}),
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def docker(self, argv: Sequence[str], *, timeout: float, env: Mapping[str, str] | None = None) -> Done:
        """Stand for the runner of a `Machine`: run `docker exec` of our one container here."""
        assert timeout
        self.seen.append(argv)
        words = [*argv]
        assert words[:2] == ["docker", "exec"], words
        at = words.index("sh")
        if words[at - 1] != self.container or not self.process:
            return Done(1, "", f"Error response from daemon: No such container: {words[at - 1]}\n")
        # sh, -c, the script, its words
        return self.sh(*words[at + 2 :], env=env)

    def make_docker(self, path: Path) -> None:
        """Write a program that stands for `docker`: it runs `docker exec --interactive` here.

        Input and output are pipes, as with Docker. pg_dump writes another file where it can seek.
        """
        beside = shlex.join([*(f"{name}={value}" for name, value in self._env({}).items()), *self._beside()])
        path.write_text(
            "#!/bin/bash\n"
            '[ "$1" = exec ] || { echo \'[{"State": {"Running": true}}]\'; exit 0; }\n'
            f'[ "$3" = {self.container} ] || {{ echo "Error: No such container: $3" >&2; exit 1; }}\n'
            f'shift 3\ncat | env -i {beside} "$@" | cat\nexit "${{PIPESTATUS[1]}}"\n'
        )
        path.chmod(0o755)

    def _beside(self) -> list[str]:
        child = _child(self.process.pid) if self.process else 0
        enter = ["nsenter", f"--net=/proc/{child}/ns/net"] if child else []
        return [*enter, *self._inside()]

    def _inside(self) -> list[str]:
        return ["chroot", "--userspec=999:999", "--groups=", str(self.root)]

    def _env(self, more: Mapping[str, str]) -> dict[str, str]:
        own = {"LC_ALL": "C.UTF-8", **self.environment(), **more}
        path = own.get("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        return {**own, "PATH": f"{path}:{os.environ['PATH']}"}


def _child(pid: int) -> int:
    """Return the process that `unshare --fork` started, or 0 until there is one."""
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return int(found.stdout.split()[0]) if found.stdout.split() else 0
