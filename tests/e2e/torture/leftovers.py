"""Lists the files, containers and processes that a deployment could leave on the host or on this machine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.e2e.host.watch import of_folder

if TYPE_CHECKING:
    from pathlib import Path

    from lab.pytest_lab import Host

_PATIENCE = 30.0  # seconds that running processes have to end
_LOOK = r"""
docker ps -a --format 'container {{.Names}}' | sed -E 's/-[0-9]+$//' | sort | uniq -c
docker network ls --format 'network {{.Name}}'
docker volume ls --format 'volume {{.Name}}'
systemctl list-units --all --plain --no-legend 'portcullis*' 'run-[pr]*' 'run-u[0-9]*' |
    awk '{print "unit " $1 " " $3}'
systemctl list-timers --all --plain --no-legend | awk '{print "timer " $(NF-1)}'
systemctl list-units --plain --no-legend --state=failed | awk '{print "failed " $1}'
find /var/lib/portcullis -mindepth 1 -maxdepth 2 -not -path '*/items/[0-9a-f]*' -printf 'file %p\n' |
    sed -E 's/[0-9a-f]{64}/HASH/'
find /run/portcullis /run/small /run/large -printf 'file %p\n' 2>/dev/null
find /tmp /var/tmp -maxdepth 1 -not -name 'systemd-private-*' -printf 'file %p\n'
find /etc /home /root /opt /srv /usr/local /var/www /var/lib/nginx /var/lib/portcullis -xdev \
    -name '.*.portcullis-*' 2>/dev/null | while read -r path; do
    # The version of a tree that its link points to is no leftover.
    folder=$(dirname "$path")
    [ -n "$(find "$folder" -maxdepth 1 -type l -lname "$(basename "$path")")" ] || echo "file $path"
done
find /var/backups/portcullis -mindepth 1 -not -name '*.rdb' -printf 'file %p\n'
ps -eo args | sed 's/^/process /' |
    grep -v torture: |
    grep -E '[p]ortcullis|[s]shd.*@|[n]ginx -t|[d]ocker (run|exec)|[a]pt-get|/usr/bin/[d]pkg'
mount | grep -E ' on (/etc|/var/lib/portcullis)[/ ]' | sed 's/^/mount /'
true
"""


def of_host(host: Host) -> set[str]:
    """Return a line for each thing on the host that could be left over.

    Some of these things are there on purpose.
    """
    return {line.strip() for line in host.run(_LOOK).stdout.splitlines()}


def new(host: Host, before: set[str], folder: Path) -> list[str]:
    """Return the lines about the host that `before` does not have, and the processes of the project folder.

    Wait some time for processes that are still running.
    """
    until = time.monotonic() + _PATIENCE
    while True:
        found = sorted(line for line in of_host(host) - before if "more" not in line)
        found += [f"process here {one.command[:120]}" for one in of_folder(host, folder)]
        if not found or time.monotonic() > until:
            return found
        time.sleep(0.5)
