"""A real PostgreSQL server for tests without a host: the lab's image, unpacked, with a network of its own.

The server runs as in a container: as user 999, with the component's own files and options.
"""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab import postgres as image
from portcullis.agent.run import Done
from portcullis.components.postgres import render

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_ALONE = ["unshare", "--net", "--mount", "--kill-child", "--fork"]


@dataclass
class Postgres:
    """A server that runs, in the folder `root` of its file system."""

    root: Path
    version: str
    process: subprocess.Popen[bytes] | None = None
    seen: list[Sequence[str]] = field(default_factory=list)

    @property
    def rules(self) -> Path:
        return self.root / "etc/portcullis/pg_hba.conf"

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        words = " ".join(f"'{word}'" for word in render.command(memory=128, tls=False))
        script = f"ip link set lo up; exec {self._inside()} {words}"
        with (self.root / "log").open("ab") as log:
            argv = [*_ALONE, "sh", "-c", script]
            self.process = subprocess.Popen(argv, env=self._env({}), stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while self.sh("pg_isready -q -h /var/run/postgresql").code:
            assert time.monotonic() < deadline, (self.root / "log").read_text()
            time.sleep(0.1)

    def stop(self) -> None:
        """End the server."""
        if self.process:
            self.sh("kill -INT $(head -n 1 $PGDATA/postmaster.pid)")
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

    def sql(self, sql: str, database: str = "postgres") -> str:
        """Run SQL as the administrator, and return what it prints."""
        done = self.sh(f"psql -XqAt -v ON_ERROR_STOP=1 -U postgres -d {database}", text=sql)
        assert not done.code, done.err
        return done.out.strip()

    def log_in(self, user: str, password: str, database: str, sql: str) -> str:
        """Run SQL as a client from the network, and return its answer or error."""
        done = self.sh(
            'psql -XqAtw -h 127.0.0.1 -U "$0" -d "$1" -c "$2" 2>&1', user, database, sql,
            env={"PGPASSWORD": password} if password else {},
        )  # fmt: skip
        return done.out.strip()

    def docker(self, argv: Sequence[str], *, timeout: float, env: Mapping[str, str] | None = None) -> Done:
        """Stand for the runner of a `Machine`: run `docker exec` of our one container here."""
        assert timeout
        self.seen.append(argv)
        words = [*argv]
        assert words[:2] == ["docker", "exec"], words
        at = words.index("sh")
        if words[at - 1] != "postgres" or not self.process:
            return Done(1, "", f"Error response from daemon: No such container: {words[at - 1]}\n")
        # sh, -c, the script, its words
        return self.sh(*words[at + 2 :], env=env)

    def make_docker(self, path: Path) -> None:
        """Write a program that stands for `docker`: it runs `docker exec --interactive postgres` here.

        Input and output are pipes, as with Docker. pg_dump writes another file where it can seek.
        """
        beside = shlex.join([*(f"{name}={value}" for name, value in self._env({}).items()), *self._beside()])
        path.write_text(
            "#!/bin/bash\n"
            '[ "$1" = exec ] || { echo \'[{"State": {"Running": true}}]\'; exit 0; }\n'
            '[ "$3" = postgres ] || { echo "Error: No such container: $3" >&2; exit 1; }\n'
            f'shift 3\ncat | env -i {beside} "$@" | cat\nexit "${{PIPESTATUS[1]}}"\n'
        )
        path.chmod(0o755)

    def _beside(self) -> list[str]:
        child = _child(self.process.pid) if self.process else 0
        enter = ["nsenter", f"--net=/proc/{child}/ns/net"] if child else []
        return [*enter, *self._inside().split()]

    def _inside(self) -> str:
        return f"chroot --userspec=999:999 --groups= {self.root}"

    def _env(self, more: Mapping[str, str]) -> dict[str, str]:
        path = f"/usr/lib/postgresql/{self.version}/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        outside = os.environ["PATH"]
        return {"PATH": f"{path}:{outside}", "PGDATA": render.DATA, "LC_ALL": "C.UTF-8", **more}


def made(folder: Path, version: str) -> Postgres:
    """Unpack and start a server."""
    root = folder / f"postgres-{version}"
    root.mkdir()
    subprocess.run(["tar", "-xf", image.SYSTEMS[version].ready(), "-C", root], check=True)
    (root / "dev").mkdir(exist_ok=True)
    for name, minor in {"null": 3, "zero": 5, "urandom": 9}.items():
        os.mknod(root / "dev" / name, 0o666 | stat.S_IFCHR, os.makedev(1, minor))
        (root / "dev" / name).chmod(0o666)
    server = Postgres(root, version)
    config = root / "etc/portcullis"
    config.mkdir(parents=True)
    config.chmod(0o755)
    server.rules.write_text(render.hba("postgres-hba", ["shop"], tls=False))
    (config / "pg_ident.conf").write_text(render.ident("postgres-ident", ["shop"]))
    done = server.sh("initdb --username=postgres --auth=reject --no-sync")
    assert not done.code, done.err
    server.start()
    return server


def _child(pid: int) -> int:
    """Return the process that `unshare --fork` started, or 0 until there is one."""
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return int(found.stdout.split()[0]) if found.stdout.split() else 0
