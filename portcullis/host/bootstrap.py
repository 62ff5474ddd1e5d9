"""Starts the agent on a host: a shell script starts a few lines of Python, which load the agent.

The host caches the agent under its hash. The client sends its first request at once, without waiting to learn
whether the host has the agent. So a host with the agent costs no extra round trip. A host without the agent
answers `need`, keeps the requests that have arrived, and reads the agent's bytes next.
"""

from __future__ import annotations

import shlex

NO_PYTHON = "no-python"
NEED = "need"
HAVE = "have"
AGENT_HEADER = "agent"
ENDED = "ended"

# /run is the fallback if /var/lib is full or read-only: the agent must be able to report that.
# Python does not keep the byte code of modules in a zip, and compiling took longer than answering. So the
# loader compiles the modules once, into a folder beside the zip. Only root can read both. Each is written
# under a temporary name with the process id and then renamed. The next start removes leftovers of killed
# processes.
_LOADER = """\
import hashlib, os, shutil, sys
if sys.version_info < (3, 10):
    sys.exit("the host has Python %d.%d, and Portcullis needs 3.10 or newer" % sys.version_info[:2])
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

    The quoting works in any login shell: `sh -c` with one single-quoted word.
    """
    script = "\n".join(
        [
            "export LC_ALL=C",  # the client matches sudo's English messages
            _AS_ROOT,
            f"command -v python3 >/dev/null || {{ echo {NO_PYTHON}; exit 0; }}",
            # -I: neither the user's site-packages nor the working directory may replace library modules.
            # One malloc arena: with one for each thread, the memory of large answers would stay allocated.
            # sudo drops the environment, so the client's address is passed as an argument.
            'from="$SSH_CONNECTION"',
            f'$as_root env MALLOC_ARENA_MAX=1 python3 -I -c {shlex.quote(_LOADER)} {digest} "$from"',
            # The ssh client is the master of a shared connection and does not end while others use it. So a
            # line on standard output must report that the agent has ended.
            f"echo {ENDED}",
        ]
    )
    return f"exec sh -c {shlex.quote(script)}"


LOOK = "portcullis-preview agent"
"""The remote command for a read-only session. The host starts its own agent; see
components/previews/render.py."""


def install_python_command() -> str:
    """Return the remote command that installs python3, which minimal images lack."""
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
