"""Other tools that check a host, each with the fastest settings that its documentation describes."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from benchmarks.measure import run, succeeded
from benchmarks.target import NAME
from tools.programs import installed

if TYPE_CHECKING:
    from benchmarks.graph import Graph

_HERE = Path(__file__).resolve().parent


class Rival(Protocol):
    """A tool that checks whether a host has the state that a graph declares.

    It connects with an ssh_config.
    """

    name: str

    def changed(self) -> bool:
        """Check the host once, without warm caches or connections.

        Return whether the tool found or corrected a difference.

        Raises:
            BenchmarkError: the tool failed.
        """
        ...


class Pyinfra:
    """pyinfra in a real run.

    With `-y` it skips its detection of changes, but each operation reads the host.
    """

    name = "pyinfra, real run"

    def __init__(self, folder: Path, ssh_config: Path, graph: Path) -> None:
        """Write pyinfra's inventory, and install pyinfra if it is missing."""
        self._program = installed(_HERE / "requirements-pyinfra.txt") / "pyinfra"
        self._folder = folder
        self._inventory = folder / "inventory.py"
        data = {"graph": str(graph), "ssh_config_file": str(ssh_config)}
        self._inventory.write_text(f"hosts = [({NAME!r}, {data!r})]\n")

    def changed(self) -> bool:
        """Check the host once, as `Rival.changed` describes."""
        argv = [str(self._program), "-y", str(self._inventory), str(_HERE / "others" / "deploy.py")]
        done = run(argv, cwd=self._folder)
        said = succeeded(done, "pyinfra") + done.stderr
        # pyinfra's last line counts operations, successes, errors, and operations without a change.
        total = re.search(r"Grand total\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)", said)
        return total is None or total[1] != total[4]


class Ansible:
    """ansible-playbook with pipelining and a shared connection.

    Every run opens a new shared connection.
    """

    def __init__(self, folder: Path, ssh_config: Path, graph: Path, *, check: bool) -> None:
        """Write Ansible's configuration, and install Ansible if it is missing."""
        self.name = "Ansible, --check" if check else "Ansible, real run"
        self._program = installed(_HERE / "requirements-ansible.txt") / "ansible-playbook"
        self._socket = folder / "ansible-master"
        self._ssh = ["ssh", "-F", str(ssh_config), "-o", f"ControlPath={self._socket}"]
        self._folder = folder
        self._argv = [
            *(str(self._program), "-i", f"{NAME},", "-e", f"graph={graph}"),
            *(["--check"] if check else []),
            str(_HERE / "others" / "playbook.yml"),
        ]
        config = folder / "ansible.cfg"
        config.write_text(
            f"[defaults]\ninterpreter_python = /usr/bin/python3\nlocal_tmp = {folder / 'ansible'}\n"
            "[ssh_connection]\npipelining = true\n"
            f"ssh_args = {shlex.join(self._ssh[1:])} -o ControlMaster=auto -o ControlPersist=60s\n"
        )
        path = f"{self._program.parent}{os.pathsep}{os.environ['PATH']}"
        self._env = {**os.environ, "ANSIBLE_CONFIG": str(config), "PATH": path}

    def changed(self) -> bool:
        """Check the host once, as `Rival.changed` describes."""
        try:
            said = succeeded(run(self._argv, cwd=self._folder, env=self._env), self.name)
        finally:
            run([*self._ssh, "-O", "exit", NAME])
        return " changed=0 " not in said


class CommandPerItem:
    """Opens a new SSH connection for each item, one after the other.

    A Pulumi provider that runs commands over SSH opens at least as many connections.
    """

    name = "ssh per item"

    def __init__(self, ssh_config: Path, graph: Graph) -> None:
        """Make the command of each item, and the output that this command must print."""
        self._ssh = ["ssh", "-F", str(ssh_config), NAME]
        self._wanted = [
            *(
                (f"dpkg-query -W -f '${{db:Status-Status}}' {name}", "installed")
                for name in graph.packages
            ),
            *(
                (
                    f"sha256sum < {file.path} && stat -c '%U %G %a' {file.path}",
                    f"{hashlib.sha256(file.content.encode()).hexdigest()} - root root {file.mode[1:]}",
                )
                for file in graph.files
            ),
            *((f"systemctl is-active {s.unit}; systemctl is-enabled {s.unit}", "active enabled")
              for s in graph.services),
        ]  # fmt: skip

    def changed(self) -> bool:
        """Check the host once, as `Rival.changed` describes."""
        found = [
            (succeeded(run([*self._ssh, command]), command).split(), wanted)
            for command, wanted in self._wanted
        ]
        return any(" ".join(words) != wanted for words, wanted in found)
