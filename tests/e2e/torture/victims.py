"""Strikes the victims of the torture drill.

To strike means to kill a process or a host, to fill a disk, or to break a connection.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from lab import hosts
from tests.e2e.host.watch import agents, of_folder, on_host, wait_for

if TYPE_CHECKING:
    import random
    import subprocess
    from pathlib import Path

    from lab.pytest_lab import Host
    from lab.relay import Relay
    from tests.e2e.host.watch import Process

STALL = 12.0  # seconds during which the connection loses everything before it is cut
SLOW = 0.4  # seconds of a round trip on a slow connection
DISKS = {"full": ("/etc/nginx", "/var/lib/portcullis"), "read-only": ("/etc", "/var/lib/portcullis")}
# `_SMALL` moves a folder to a small file system of its own. `_BACK` moves the folder back, with all changes.
_SMALL = """
set -e
size=$(du -sk $1 | cut -f1)
mkdir /run/small && mount -t tmpfs -o size=$((size * 2 + 4096))k,mode=$(stat -c %a $1) none /run/small
cp -a $1/. /run/small/
mount --move /run/small $1 2>/dev/null || { mount --bind /run/small $1; umount /run/small; }
rmdir /run/small
"""
_BACK = """
set -e
rm -f $1/.filler
mkdir /run/large && mount --bind "$(dirname $1)" /run/large
target=/run/large/$(basename $1)
find $target -mindepth 1 -delete
cp -a $1/. $target/
umount -l $1; umount /run/large; rmdir /run/large
"""
_FILL = """
dd if=/dev/zero of=$1/.filler bs=4k 2>/dev/null
dd if=/dev/zero of=$1/.filler bs=1 oflag=append conv=notrunc 2>/dev/null
true
"""


class Reached(Protocol):
    """A stack whose host is reached through a relay."""

    folder: Path
    host: Host
    relay: Relay


@dataclass
class Victims:
    """Strikes the victim of a running deed, and repairs the damage that does not end by itself."""

    stack: Reached
    dice: random.Random
    hit: str = ""
    disk: str = ""
    _small: bool = False
    _read_only: bool = False
    _timers: list[threading.Timer] = field(default_factory=list)

    def before(self, victim: str) -> None:
        """Choose the disk of a round, and prepare it so that it can become full at once."""
        self.disk = self.dice.choice(DISKS.get(victim, ("",)))
        if victim == "full":
            self._sh(_SMALL)
            self._small = True

    def strike(self, victim: str, deed: subprocess.Popen[str]) -> None:
        """Strike the victim as soon as it exists.

        The attribute `hit` then describes the struck victim. `hit` is empty if the deed ended before the
        victim existed.
        """
        self.hit, strike = "", getattr(self, "on_" + victim.replace("-", "_"))
        while not self.hit and deed.poll() is None:
            self.hit = strike(deed)
            time.sleep(0.02)

    def mend(self) -> None:
        """Undo the damage to disks and connection, and keep the changes of the deed."""
        for timer in self._timers:
            timer.join()
        self._timers.clear()
        self.stack.relay.delay(0)
        if self._read_only:
            self._sh("umount -l $1")
        if self._small:
            self._sh(_BACK)
        self._read_only = self._small = False

    def on_engine(self, deed: subprocess.Popen[str]) -> str:
        deed.kill()
        return "engine"

    def on_plugin(self, _: subprocess.Popen[str]) -> str:
        # Our own plugin, a stand-in of the lab, or an official plugin.
        words = ("portcullis.provider ", "lab/plugins ", "pulumi-resource-")
        return self._kill([one for one in self._ours() if any(word in one.command for word in words)])

    def on_ssh(self, _: subprocess.Popen[str]) -> str:
        return self._kill([one for one in self._ours() if one.command.startswith("ssh ")])

    def on_agent(self, _: subprocess.Popen[str]) -> str:
        host = self.stack.host
        return self._kill(agents(host) or on_host(host, "portcullis-backup restore"))

    def on_dockerd(self, _: subprocess.Popen[str]) -> str:
        return self._kill(on_host(self.stack.host, "/usr/sbin/dockerd"))

    def on_host(self, _: subprocess.Popen[str]) -> str:
        host = self.stack.host
        os.kill(hosts.first_process(host.engine, host.record), signal.SIGKILL)
        wait_for(
            "Docker to notice the end of the host",
            lambda: " running " not in hosts.summary(host.engine, host.record),
        )
        hosts.boot(host.engine, host.record)
        hosts.wait(host.engine, host.record)
        return "host"

    def on_full(self, _: subprocess.Popen[str]) -> str:
        self._sh(_FILL)
        return f"full {self.disk}"

    def on_read_only(self, _: subprocess.Popen[str]) -> str:
        self._sh("mount --bind $1 $1 && mount -o remount,ro,bind $1")
        self._read_only = True
        return f"read-only {self.disk}"

    def on_delay(self, _: subprocess.Popen[str]) -> str:
        self.stack.relay.delay(SLOW)
        return f"round trips of {SLOW} s"

    def on_lose(self, _: subprocess.Popen[str]) -> str:
        self.stack.relay.lose()
        timer = threading.Timer(STALL, self.stack.relay.cut)
        timer.start()
        self._timers.append(timer)
        return f"everything for {STALL:.0f} s"

    def on_cut(self, _: subprocess.Popen[str]) -> str:
        return f"{self.stack.relay.cut()} connections"

    def _ours(self) -> list[Process]:
        return of_folder(self.stack.host, self.stack.folder)

    def _kill(self, found: list[Process]) -> str:
        if not found:
            return ""
        one = self.dice.choice(sorted(found, key=lambda process: process.pid))
        with contextlib.suppress(ProcessLookupError):
            os.kill(one.pid, signal.SIGKILL)
            return one.command[:80]
        return ""

    def _sh(self, script: str) -> None:
        self.stack.host.run(["sh", "-c", script, "sh", self.disk])
