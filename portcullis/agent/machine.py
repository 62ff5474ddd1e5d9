"""The paths that the agent uses on a host. Tests replace these paths."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.agent.readers import Readers
from portcullis.agent.run import Runner, run

if TYPE_CHECKING:
    from portcullis.agent.guarded import Peer


@dataclass(frozen=True)
class Machine:
    """The paths, addresses and limits that the agent uses on a host."""

    root: Path = Path("/")  # the inventory reads below it
    state: Path = Path("/var/lib/portcullis")
    lock: Path = Path("/run/portcullis/deploy.lock")
    dpkg: Path = Path("/var/lib/dpkg")
    ucf: Path = Path("/var/lib/ucf/hashfile")
    lists: Path = Path("/var/lib/apt/lists")
    policy: Path = Path("/usr/sbin/policy-rc.d")
    units: Path = Path("/etc/systemd/system")
    proc: Path = Path("/proc")
    proc_sys: Path = Path("/proc/sys")
    net: Path = Path("/sys/class/net")
    # The administrator's folder is first. Its files hide files of the same name in the other folders:
    # sysctl.d(5).
    sysctl_d: tuple[Path, ...] = (
        Path("/etc/sysctl.d"),
        Path("/run/sysctl.d"),
        Path("/usr/local/lib/sysctl.d"),
        Path("/usr/lib/sysctl.d"),
    )
    etc: Path = Path("/etc")
    filter_file: Path = Path("/etc/portcullis/filter.nft")
    ssh: Path = Path("/etc/ssh")
    sshd_run: Path = Path("/run/sshd")
    ufw: Path = Path("/etc/ufw")
    ufw_shipped: Path = Path("/usr/share/ufw")
    homes: Path = Path("/home")
    fail2ban: Path = Path("/etc/fail2ban")
    fail2ban_socket: Path = Path("/run/fail2ban/fail2ban.sock")
    fail2ban_database: Path = Path("/var/lib/fail2ban/fail2ban.sqlite3")
    docker: Path = Path("/run/docker.sock")
    letsencrypt: Path = Path("/etc/letsencrypt")
    letsencrypt_logs: Path = Path("/var/log/letsencrypt")
    http: tuple[str, int] = ("127.0.0.1", 80)
    https: tuple[str, int] = ("127.0.0.1", 443)
    nginx_log: Path = Path("/var/log/nginx/error.log")
    run: Runner = run
    peer: Peer | None = None  # the addresses of the SSH session
    read_only: bool = False  # nothing may be written, not even a cache
    apt_lock_wait: float = 60.0  # seconds
    settle: float = 1.0  # seconds a unit has to stay up to count as started
    # Set when the client is gone. Code that only waits can stop then.
    alone: threading.Event = field(default_factory=threading.Event)
    # Lets tests, starts and reloads finish reading before this session removes a file.
    readers: Readers = field(default_factory=Readers)
