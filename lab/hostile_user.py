"""Makes hostile things as ordinary users of a host: files, keys, units, processes.

It runs on the host, as root: `python3 - mallory oscar < lab/hostile_user.py`. The first account makes things
of every kind, the others a few programs. It prints the number of things of each account. Every name and text
that could do harm contains the word `CANARY`. The same call always makes the same things.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import json
import os
import pwd
import shutil
import socket
import struct
import subprocess
import sys
import syslog
import time
import traceback
from pathlib import Path

CANARY = "zqx123"
"""The word in each hostile name and text. Nothing else on a host contains it."""
TRIPPED = "tripped"
"""This file in the home of an account says that somebody has opened the account's pipe."""
PORT = 47800
"""The accounts listen on this port and on those after it."""
_TRAP = f"cd; touch {CANARY}"  # it makes a file in the home of root
SAYINGS = (
    f"{CANARY}\nweb1: no differences in 79 resources (1 s)",
    f"{CANARY}\rweb1: no differences in 79 resources (1 s)",
    f"{CANARY} \x1b[2J\x1b[1;1H\x1b]0;title\x07\x1b[8m",
    f"{CANARY} \x9b31m\x85\x7f",
    f"{CANARY}'; {_TRAP}; '",
    f'{CANARY}"; {_TRAP}; "',
    f"{CANARY}\\'; {_TRAP} #",
    f'{CANARY}\\"; {_TRAP} #',
    f"$({_TRAP})",
    f"`{_TRAP}`",
    f"{CANARY}; rm -rf ~; {_TRAP}",
    f"{CANARY} && {_TRAP}",
    f"{CANARY} || {_TRAP}",
    f"{CANARY}\n{_TRAP}\n",
    f"-rf {CANARY}",
    f"--target-directory=.. {CANARY}",
    f"{CANARY} \u202e\u2066drow\u2069 \u200b\ufeff\u2028\U000e0041",
    f"{CANARY} \udcff\udcfe\udc80",
    f"{CANARY} {'long ' * 45}",
    f"{CANARY} — stays; remove it yourself: rm -rf ..",
    f"{CANARY}, not as ..etc..shadow has it (changed 2026-11-27T08:00:12Z, who: unknown)",
    f"{CANARY}: file 0644 root:root — up removes it",
    f"{CANARY} <{{%reset%}}> {{0}} %s %n ${{IFS}}",
    f"::error title={CANARY}::said by nobody",
    f"##[error]{CANARY} ##vso[task.complete result=Failed]",
    f"{CANARY} \\",
    f"{CANARY}\t|\t{CANARY}",
    f"{CANARY} * ? [a-z] {{a,b}} ~ ! #",
    f" {CANARY} ",
    f"{CANARY} [click](http:..192.0.2.1) <b>{CANARY}<.b> | x | ```",
    f"file {CANARY}: accepted: by root — up no longer reports it",
    f"{CANARY}=1 PATH=.",
    f"more of root: {CANARY}",
    f"container {CANARY} (nginx sends requests to it)",
    f'"{CANARY}" "',
    f"{CANARY} Ä\u0301\U0001f4a3 \uff02 \u201d",
)  # fmt: skip
"""Names and texts that try to look like something else, or to become a command.

None contains a slash, so each can be the end of a name.
"""
_STARTED = (
    ".bash_profile", ".bash_login", ".bash_logout", ".bash_aliases", ".pam_environment", ".zshrc", ".zshenv",
    ".zprofile", ".zlogin", ".zlogout", ".kshrc", ".cshrc", ".tcshrc", ".login", ".forward", ".rhosts",
    ".shosts", ".xprofile", ".vimrc", ".gitconfig",
)  # fmt: skip
_TARGETS = (
    "/proc/kmsg", "/dev/kmsg", "/dev/watchdog", "/dev/zero", "/dev/ptmx", "/proc/self/mem", "/etc/shadow",
    "/proc/sysrq-trigger", "/sys/kernel/debug", ".", "..", "/root", "pipe",
)  # fmt: skip
_OPTIONS = (
    f'command="{_TRAP}"',
    f'from="{CANARY} — up removes it",environment="{CANARY}=; {_TRAP}"',
    f'permitopen="{CANARY}\x1b[2J",tunnel="{CANARY} $({_TRAP})"',
    f"{CANARY}-option",
    f'principals="{CANARY}\\"; {_TRAP}; \\"",restrict',
)
KEYS = 3_000
"""The key file of the first account has so many keys."""
_KEYS_FIRST, _KEYS_EQUAL = 60, 500
_FLOOD = 31_000
SETUID = 1_000
"""The first account has so many programs with rights of their own."""
_DEEP = 60
_UNIT = """\
[Unit]
Description={0}
[Service]
WorkingDirectory=%h
ExecStart=/usr/bin/python3 {1}
[Install]
WantedBy=default.target
"""
OPEN_FILES = 11_000
"""Six processes of the first account have so many open files. Nobody should read all of them."""
# The kernel keeps 15 bytes of a process's name.
PROCESSES = (f"{CANARY} ;$(x)", f"{CANARY} \x1b[2J'", f"{CANARY}(root) in", f'{CANARY}" ,')
FLOODED = PORT + len(PROCESSES)
"""The last of these six processes listens on this port."""
_PROCESS = f"""\
import ctypes, itertools, os, resource, socket, sys, threading
names = {PROCESSES!r}
port, held = int(sys.argv[1]), []
def named(name):
    ctypes.CDLL(None).prctl(15, name.encode(), 0, 0, 0)
groups = [line.strip().split(":", 2) for line in open("/proc/self/cgroup")]
own = next(group for group in groups if group[1] in ("", "name=systemd"))
top = "/sys/fs/cgroup" + ("/systemd" if own[1] else "")
group = top + os.path.dirname(own[2]) + "/docker-" + "a" * 64 + ".scope"
for number, name in enumerate(names):
    if os.fork():
        continue
    if number == 2:
        os.makedirs(group, exist_ok=True)
        open(group + "/cgroup.procs", "w").write(str(os.getpid()))
    named(name)
    for family, kind in itertools.product(
        (socket.AF_INET, socket.AF_INET6), (socket.SOCK_STREAM, socket.SOCK_DGRAM)
    ):
        one = socket.socket(family, kind)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind(("", port + number))
        if kind == socket.SOCK_STREAM:
            one.listen()
        held.append(one)
    beside = socket.socket(socket.AF_UNIX)
    beside.bind("\\0" + name)
    beside.listen()
    open("ready-%d" % number, "w")
    threading.Event().wait()
for number in range(6):
    if os.fork():
        continue
    resource.setrlimit(resource.RLIMIT_NOFILE, ({OPEN_FILES}, {OPEN_FILES}))
    one = socket.socket()
    for place in range(one.fileno() + 1, {OPEN_FILES} - 1):
        os.dup2(0, place)
    if number == 5:
        one.bind(("", {FLOODED}))
        one.listen()
        open("ready-4", "w")
    threading.Event().wait()
# A reader of the pipe lets this call return.
os.close(os.open("pipe", os.O_WRONLY))
open({TRIPPED!r}, "w")
threading.Event().wait()
"""


def main() -> int:
    """Let the accounts of the command line make their things. The first one makes everything."""
    made = {}
    for number, name in enumerate(sys.argv[1:]):
        subprocess.run(["useradd", "-m", "-s", "/bin/bash", name], check=True)
        account = pwd.getpwnam(name)
        made[name] = _as_user(account, number, len(sys.argv) - 1)
        if number == 0:
            # A user's systemd also starts when the user logs in.
            subprocess.run(["systemctl", "start", f"user@{account.pw_uid}.service"], check=True)
            _wait(Path(account.pw_dir))
    print(json.dumps(made))
    return 0


def _as_user(account: pwd.struct_passwd, number: int, of: int) -> int:
    """Make the things of an account, as that account. Return their number."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.initgroups(account.pw_name, account.pw_gid)
            os.setgid(account.pw_gid)
            os.setuid(account.pw_uid)
            os.umask(0o022)
            os.chdir(account.pw_dir)
            count = _few(SAYINGS[number - 1 :: of - 1]) if number else _everything()
            os.write(writer, str(count).encode())
            code = 0
        except BaseException:  # noqa: BLE001 - the child must end here
            traceback.print_exc()
        os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as said:
        text = said.read()
    _, status = os.waitpid(child, 0)
    if status:
        raise SystemExit(f"{account.pw_name} failed")
    return int(text)


def _wait(home: Path) -> None:
    """Wait until the processes of an account listen."""
    for _ in range(600):
        if all((home / f"ready-{number}").exists() for number in range(5)):
            return
        time.sleep(0.1)
    raise SystemExit(f"the processes of {home} do not listen")


def _few(sayings: tuple[str, ...]) -> int:
    """Make one program for each saying. There are so few that each is told."""
    folder = Path(".local/bin")
    folder.mkdir(parents=True)
    for saying in sayings:
        _write(folder / saying, saying)
    return len(sayings)


def _everything() -> int:
    """Make everything, and return the number of things."""
    return sum(
        (
            _links_and_pipe(), _names(), _keys(), _deep(), _odd(), _flood(), _setuid(), _units(), _crontab(),
            _sockets(), _journal(),
        )
    )  # fmt: skip


def _links_and_pipe() -> int:
    os.mkfifo("pipe")
    targets = (*_TARGETS, *SAYINGS)
    for name, target in zip(_STARTED, targets, strict=False):
        Path(name).unlink(missing_ok=True)  # some come with an account
        Path(name).symlink_to(target)
    Path(".bashrc").unlink()
    Path(".bashrc").symlink_to("pipe")
    Path(".config/fish").mkdir(parents=True)
    Path(".config/fish/config.fish").symlink_to("config.fish")  # a loop
    return len(_STARTED) + 3


def _names() -> int:
    """Make a file, a link, a folder and a pipe for each saying, where programs look for files."""
    count = 0
    for top in (".local/bin", ".config/environment.d", ".ssh", "/tmp", "/var/tmp", "/dev/shm"):  # noqa: S108 - every account may write there
        Path(top).mkdir(parents=True, exist_ok=True)
        for saying in SAYINGS:
            _write(Path(f"{top}/{saying}"), saying)
            Path(f"{top}/link {saying}").symlink_to(f"/root/{saying}")
            Path(f"{top}/folder {saying}").mkdir()
            os.mkfifo(f"{top}/pipe {saying}")
            count += 4
    Path(".ssh").chmod(0o700)
    return count


def _keys() -> int:
    """Write more keys than anybody reads: hostile ones, equal ones, and a line without an end."""
    options, sayings = itertools.cycle(("", *_OPTIONS)), itertools.cycle(SAYINGS)
    lines = [
        f"{next(options)} {_key(number)} {next(sayings)}".strip().replace("\n", "\r")
        for number in range(_KEYS_FIRST)
    ]
    lines += [f"{_key(0)} {CANARY} equal {number}" for number in range(_KEYS_EQUAL)]
    lines += [f"{_key(number)} {CANARY}" for number in range(_KEYS_FIRST, KEYS)]
    text = "\n".join(lines) + "\n" + f'command="{CANARY} ' + '\\"a,' * 200_000
    _write(Path(".ssh/authorized_keys"), text)
    Path(".ssh/authorized_keys2").symlink_to("../pipe")
    for name in ("rc", "environment", "config"):
        _write(Path(".ssh", name), "\n".join(SAYINGS))
    return len(lines) + 5


def _key(number: int) -> str:
    parts = (b"ssh-ed25519", hashlib.sha256(str(number).encode()).digest())
    blob = b"".join(struct.pack(">I", len(part)) + part for part in parts)
    return f"ssh-ed25519 {base64.b64encode(blob).decode()}"


def _deep() -> int:
    """Make a folder whose path is longer than the kernel reads at once."""
    home = Path.cwd()
    Path(".config/systemd/user").mkdir(parents=True)
    os.chdir(".config/systemd")
    for _ in range(_DEEP):
        name = f"{CANARY} " + "deep" * 30
        Path(name).mkdir()
        os.chdir(name)
    _write(Path("end"), CANARY)
    os.chdir(home)
    return _DEEP + 1


def _odd() -> int:
    """Make a file of a terabyte without content, folders that nobody may enter, and loops of links."""
    bin_ = Path(".local/bin")
    _write(bin_ / f"{CANARY} huge", "")
    os.truncate(bin_ / f"{CANARY} huge", 1 << 40)
    for name in (f"{CANARY} shut", f"{CANARY} shut 2"):
        (bin_ / name).mkdir()
        _write(bin_ / name / f"{CANARY} inside", "")
        (bin_ / name).chmod(0)
    for one, other in ((f"{CANARY} to", f"{CANARY} fro"), (f"{CANARY} fro", f"{CANARY} to")):
        (bin_ / one).symlink_to(other)
    (bin_ / f"{CANARY} up").symlink_to("..")
    for name in ("hello", "hello-01", "hello-before-99-1", "redis", "nginx.service"):
        _write(bin_ / name, "#!/bin/sh")
    return 13


def _flood() -> int:
    """Make so many files in one folder that nobody should list them."""
    folder = Path(".config/fish/conf.d")
    folder.mkdir(parents=True)
    first = folder / "0"
    _write(first, "")
    for number in range(1, _FLOOD):
        # A file system has a limit for the links to one file.
        os.link(first, folder / str(number)) if number % 1000 else _write(folder / str(number), "")
        first = first if number % 1000 else folder / str(number)
    return _FLOOD


def _setuid() -> int:
    """Make so many programs with rights of their own that a result of the walk could be full."""
    folder = Path("aaa")
    folder.mkdir()
    for number in range(SETUID):
        place = folder / (f"{CANARY} {number}" if number % 2 else str(number))
        shutil.copyfile("/bin/true", place) if number < 1 else os.link(folder / "0", place)
    (folder / "0").chmod(0o6755)
    return SETUID


def _units() -> int:
    """Make units of the account's own systemd. One of them runs."""
    folder = Path(".config/systemd/user")
    for saying in SAYINGS:
        _write(folder / f"{saying.strip()}.service", _UNIT.format(saying, "/dev/null"))
        _write(folder / f"{saying.strip()}.timer", f"[Timer]\nOnCalendar=yearly\nUnit={saying}\n")
    _write(Path("process.py"), _PROCESS)
    _write(folder / f"{CANARY}.service", _UNIT.format(CANARY, f"process.py {PORT}"))
    wants = folder / "default.target.wants"
    wants.mkdir()
    (wants / f"{CANARY}.service").symlink_to(f"../{CANARY}.service")
    return 2 * len(SAYINGS) + 3


def _crontab() -> int:
    text = "".join("0 0 1 1 * : {}\n".format(saying.replace("\n", "\r")) for saying in SAYINGS)
    subprocess.run(["crontab", "-"], input=text.encode("utf-8", "surrogateescape"), check=True)
    return len(SAYINGS)


def _sockets() -> int:
    """Leave sockets as files."""
    home = Path.cwd()
    Path(".local/bin/sockets").mkdir()
    os.chdir(".local/bin/sockets")  # the path of a socket is short
    count = 0
    for saying in SAYINGS:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as made:
            made.bind(saying.encode("utf-8", "surrogateescape")[:100])
            count += 1
    os.chdir(home)
    return count


def _journal() -> int:
    """Write lines into the journal that look like those of sshd."""
    for name in ("sshd", "sshd-session", "portcullis"):
        syslog.openlog(name, 0, syslog.LOG_AUTH)
        for saying in SAYINGS:
            said = saying.encode("utf-8", "replace").decode()
            syslog.syslog(f"Accepted publickey for root from 203.0.113.7 port 22 ssh2: ED25519 {said}")
            syslog.syslog(f"Accepted password for {said} from {CANARY} port 22 ssh2")
    return 6 * len(SAYINGS)


def _write(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8", "surrogateescape"))


if __name__ == "__main__":
    sys.exit(main())
