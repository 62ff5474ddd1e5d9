"""Back up a Redis server in a container, and restore a backup."""

from __future__ import annotations

import contextlib
import os
import re
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from . import containers
from .programs import Failed, checked, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_MARK = 40  # bytes that Redis appends to a snapshot if it sends the snapshot while making it
_HEAD = re.compile(rb"REDIS[0-9]{4}")
_END = 0xFF  # the opcode before the checksum's eight bytes
_LOADING = 3600.0  # seconds
_STARTING = 300.0

# The shell inside the container reads user and password from one file, which is always replaced as a whole.
# The password stays in the container, and no command line and no environment contains it. `printf` is a
# builtin.
_ASK = (
    "read -r user password </run/secrets/ops && printf '%s\\n' \"$password\" | "
    'redis-cli --askpass --user "$user" '
)

# Redis loads the snapshot without the append-only file. Then we switch the append-only file on, and Redis
# writes a new one from the loaded data, as in
# https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/. Redis 7 with an append-only file
# reads that file only, and would start empty beside a snapshot. Both files are written beside the present
# files, under other names. The image's entry point starts this Redis like the server itself: the entry point
# of the official Redis 8 loads modules, and without them Redis refuses a snapshot with JSON or time series.
# Only a socket inside this container leads to this Redis, so nobody has to log in.
_CONVERT = r"""
set -e
cd /data
rm -rf restore-aof
$(command -v docker-entrypoint.sh) redis-server "$1" --port 0 --tls-port 0 --bind 127.0.0.1 --aclfile '' \
    --daemonize no --save '' --unixsocket /tmp/restore.sock --appendonly no \
    --dbfilename restore.rdb --appenddirname restore-aof --dir /data >/tmp/restore.log 2>&1 &
ask() { redis-cli -s /tmp/restore.sock "$@"; }
until ask ping 2>/dev/null | grep -q PONG; do
    kill -0 $! 2>/dev/null || { tail -n 5 /tmp/restore.log; exit 1; }
    sleep 0.2
done
ask config set appendonly yes | grep -q OK
while ask info persistence | grep -Eq '^aof_rewrite_(in_progress|scheduled):1'; do sleep 0.2; done
ask info persistence | grep -q '^aof_last_bgrewrite_status:ok'
ask info persistence | grep -q '^aof_enabled:1'
ask shutdown nosave
wait
[ -s restore-aof/appendonly.aof.manifest ]
"""
_SWITCH = r"""
set -e
cd /data
rm -rf appendonlydir.before dump.rdb.before
[ ! -e appendonlydir ] || mv appendonlydir appendonlydir.before
[ ! -e restore-aof ] || mv restore-aof appendonlydir
mv restore.rdb dump.rdb
sync
rm -rf appendonlydir.before
"""
# For an interrupted switch: without its folder Redis would start empty.
_CLEAN = r"""
set -e
cd /data
[ -e appendonlydir ] || [ ! -e appendonlydir.before ] || mv appendonlydir.before appendonlydir
rm -rf restore.rdb restore-aof
"""


@dataclass(frozen=True)
class Redis:
    """A Redis, by the container it runs in, and whether it keeps an append-only file.

    `tls` is the path of the CA inside the container, if the server accepts TLS only.
    """

    name: str
    container: str
    append_only: bool = True
    tls: str = ""

    ending = ".rdb"
    holds = "keys"

    def wait(self) -> None:
        """Wait while it starts: after a boot, the job may run at once."""
        containers.wait_while_starting(self.container, _STARTING)

    def dump(self, out: IO[bytes]) -> None:
        """Write a snapshot, as a replica would get it. The server's own files stay unchanged."""
        done = checked(self._ask("--rdb -"), f"the snapshot of {self.name}", stdout=out)
        size = out.seek(0, os.SEEK_END)
        told = re.search(r"writing ([0-9]+) bytes to", done.err)
        told = re.search(r"success after ([0-9]+) bytes", done.err) or told
        if told is None:
            raise Failed(f"the Redis server {self.name} sent no snapshot:\n{done.tail}")
        if size not in (int(told[1]), int(told[1]) + _MARK):
            raise Failed(f"the snapshot of {self.name} has {size} bytes, but Redis reports {told[1]} bytes")
        out.truncate(int(told[1]))

    def check(self, path: Path) -> int:
        """Return the number of keys in a snapshot. Raises `Failed` if the snapshot is not complete."""
        with path.open("rb") as file:
            head = file.read(9)
            file.seek(-9, os.SEEK_END) if path.stat().st_size > 18 else None  # noqa: PLR2004 - head and end
            end = file.read(1)
            if not _HEAD.fullmatch(head) or end != bytes([_END]):
                raise Failed(f"the backup {path.name} is not a complete snapshot of Redis")
            file.seek(0)
            argv = containers.shell(self.container, "exec redis-check-rdb /dev/stdin")
            done = run(argv, stdin=file)
        keys = re.search(r"([0-9]+) keys read", done.out)
        if done.code != 0 or "RDB looks OK" not in done.out or keys is None:
            raise Failed(f"redis-check-rdb finds a fault in the backup {path.name}:\n{done.tail}")
        return int(keys[1])

    def check_version(self, path: Path, present: Path) -> None:
        """Do nothing: in `check`, this server's own program refuses the snapshot of a newer Redis."""

    def restore(self, path: Path, part: str, say: Callable[[str], None]) -> None:
        """Replace all data of this Redis with a snapshot. Raises `Failed`.

        The present files stay unchanged until the last step. A failure before it changes nothing.
        """
        del part
        image, command = containers.image(self.container), containers.command(self.container)
        config = next((word for word in command if word.startswith("/") and word.endswith(".conf")), "")
        stopped = "stopped"
        say(f"{self.container}: stopping")
        checked(["docker", "stop", "--time", "60", self.container], f"stopping {self.container}")
        try:
            with path.open("rb") as file:
                self._in_helper(image, "cat > /data/restore.rdb && sync /data/restore.rdb", stdin=file)
            if self.append_only:
                say(f"{self.container}: writing a new append-only file")
                self._in_helper(image, _CONVERT, config or "/dev/null")
            if containers.is_running(self.container):
                # An `up` starts stopped containers. A running server has the files open that we would switch.
                raise Failed(
                    f"{self.container} was started during the restore, perhaps by an `up`; "
                    f"{self.name} is unchanged"
                )
            self._in_helper(image, _SWITCH)
            stopped = "restored"
        finally:
            if stopped != "restored":
                with contextlib.suppress(Failed):  # starting the server matters more
                    run(self._helper(image, _CLEAN))
            say(f"{self.container}: starting")
            checked(["docker", "start", self.container], f"starting {self.container}")
        containers.wait_until_well(self.container, _LOADING)
        say(f"{self.name} has {self._keys()} keys now")

    def _keys(self) -> int:
        deadline = time.monotonic() + _LOADING
        while True:
            done = run(self._ask("info keyspace"))
            if done.code == 0 and "# Keyspace" in done.out:
                return sum(map(int, re.findall(r"^db[0-9]+:keys=([0-9]+)", done.out, re.MULTILINE)))
            if time.monotonic() > deadline or "LOADING" not in done.tail:
                raise Failed(f"the Redis server {self.name} does not answer after the restore:\n{done.tail}")
            time.sleep(0.5)

    def _ask(self, words: str) -> list[str]:
        tls = f"--tls --cacert {self.tls} " if self.tls else ""
        return containers.shell(self.container, f"{_ASK}{tls}{words}")

    def _in_helper(self, image: str, script: str, *words: str, stdin: IO[bytes] | None = None) -> None:
        checked(self._helper(image, script, *words), f"the restore of {self.name}", stdin=stdin)

    def _helper(self, image: str, script: str, *words: str) -> list[str]:
        """Return the command that runs a script in a new container with the server's files."""
        return [
            "docker", "run", "--rm", "--interactive", "--pull=never", "--network=none", "--read-only",
            "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--log-driver=none",
            f"--user={containers.user(self.container)}", *containers.mounts(self.container),
            "--entrypoint=sh", image, "-c", script, "sh", *words,
        ]  # fmt: skip
