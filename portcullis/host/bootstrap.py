"""The first words spoken with a host: plain sh, then a few lines of Python, then the agent.

The agent is cached on the host by its hash. The client does not wait to learn whether it is
there: it sends its first request at once, so a host that has the agent costs no extra round trip.
A host without it answers `need`, and takes the bytes after the lines that came before them.
"""

from __future__ import annotations

import shlex

NO_PYTHON = "no-python"
NEED = "need"
HAVE = "have"
AGENT_HEADER = "agent"
ENDED = "ended"

# /run serves when /var/lib is full or read-only: the agent must be able to say so.
# Python keeps nothing of what it compiles out of a zip, which took longer than the answer: what the zip holds
# is compiled once, into a folder beside it. Both are for root alone. Each is written under the name of its
# process and renamed; what a killed one left goes at the next start.
_LOADER = """\
import hashlib, os, shutil, sys
want = sys.argv[1]
folders = ["/var/lib/portcullis/agent", "/run/portcullis/agent"]
def load(path):
    try:
        with open(path, "rb") as f:
            return hashlib.sha256(f.read()).hexdigest() == want
    except OSError:
        return False
def remove(folder, unwanted):
    for name in filter(unwanted, os.listdir(folder)):
        old = os.path.join(folder, name)
        shutil.rmtree(old) if os.path.isdir(old) else os.unlink(old)
def is_left(name):
    return name.count(".") > 1 and not os.path.exists("/proc/" + name.rpartition(".")[2])
def store(data):
    error = None
    for folder in folders:
        path = os.path.join(folder, want + ".pyz")
        try:
            os.makedirs(os.path.dirname(folder), 0o700, exist_ok=True)
            os.makedirs(folder, 0o700, exist_ok=True)
            part = path + "." + str(os.getpid())
            try:
                with open(part, "wb") as f:
                    f.write(data)
                os.rename(part, path)
            except OSError:
                if os.path.exists(part):
                    os.unlink(part)
                raise
            remove(folder, lambda name: not name.startswith(want) and name.count(".") == 1)
            return path
        except OSError as e:
            error = e
    sys.exit("cannot store the agent: " + str(error))
def compiled(path):
    folder = path[:-3] + sys.implementation.cache_tag
    part = folder + "." + str(os.getpid())
    try:
        remove(os.path.dirname(path), is_left)
    except OSError:
        pass
    if not os.path.isdir(folder):
        import compileall, zipfile
        try:
            with zipfile.ZipFile(path) as f:
                f.extractall(part)
            compileall.compile_dir(part, quiet=2, legacy=True, ddir=path)
            for top, _, names in os.walk(part):
                for name in names:
                    if name.endswith(".py"):
                        os.unlink(os.path.join(top, name))
            os.sync()
            os.rename(part, folder)
        except OSError:
            shutil.rmtree(part, ignore_errors=True)
    return folder
pending = []
path = next((p for p in (os.path.join(f, want + ".pyz") for f in folders) if load(p)), None)
print("have" if path else "need", flush=True)
if not path:
    while True:
        line = sys.stdin.buffer.readline()
        if not line:
            sys.exit(0)
        if line.startswith(b"agent "):
            data = sys.stdin.buffer.read(int(line[6:]))
            break
        pending.append(line.decode())
    if hashlib.sha256(data).hexdigest() != want:
        sys.exit("the agent arrived damaged")
    path = store(data)
sys.path[:0] = [compiled(path), path]
from portcullis.agent.main import main
main(pending)
"""

_AS_ROOT = 'if [ "$(id -u)" = 0 ]; then as_root=; else as_root="sudo -n"; fi'


def agent_command(digest: str) -> str:
    """Return the remote command that starts the agent with this hash, as root.

    It is quoted for any login shell: `sh -c` with one single-quoted word.
    """
    script = "\n".join(
        [
            "export LC_ALL=C",  # the client reads what sudo says
            _AS_ROOT,
            f"command -v python3 >/dev/null || {{ echo {NO_PYTHON}; exit 0; }}",
            # -I: neither the user's site-packages nor the working directory may stand in for the library.
            # One malloc arena: with one for each thread, every large answer would leave its memory behind.
            # sudo keeps no environment, so where we come from travels as an argument.
            'from="$SSH_CONNECTION"',
            f'$as_root env MALLOC_ARENA_MAX=1 python3 -I -c {shlex.quote(_LOADER)} {digest} "$from"',
            # The client is the master of a shared connection and lives on while others use it: the end of
            # the agent has to be said, it cannot be seen.
            f"echo {ENDED}",
        ]
    )
    return f"exec sh -c {shlex.quote(script)}"


LOOK = "portcullis-preview agent"
"""What asks for the agent that only looks. The host knows it and starts its own; see
components/previews/render.py."""


def install_python_command() -> str:
    """Return the remote command that installs python3 where it is missing (minimal images)."""
    script = "\n".join(
        [
            "set -e",
            _AS_ROOT,
            "export DEBIAN_FRONTEND=noninteractive LC_ALL=C",
            "exec </dev/null >&2",
            "$as_root apt-get -q update",
            "$as_root apt-get -q -y -o DPkg::Lock::Timeout=60 --no-install-recommends install python3",
        ]
    )
    return f"exec sh -c {shlex.quote(script)}"
