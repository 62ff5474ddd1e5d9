"""All changes by hand of the inventory drill, by name, from the modules of this package."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tests.e2e.inventory.changes import access, docker, files, kernel, parts, programs, units
from tests.e2e.inventory.changes.change import Change, holds, tells

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CHANGES", "REVIEWED", "Change", "holds", "tells"]

_ALL = (
    access.CHANGES,
    files.CHANGES,
    units.CHANGES,
    programs.CHANGES,
    kernel.CHANGES,
    docker.CHANGES,
    parts.CHANGES,
)
_TWICE = [name for name, count in Counter(name for each in _ALL for name in each).items() if count > 1]
if _TWICE:
    raise ValueError(f"two changes have the same name: {', '.join(_TWICE)}")
CHANGES: Mapping[str, Change] = {name: change for each in _ALL for name, change in each.items()}
"""All changes by hand, by name."""

REVIEWED = """\
F2: --network container:redis
F2: a container made by hand on redis-shared
F2: docker network connect bridge redis
F3: a neighbour takes the host's outgoing IPv6 with one router advertisement
F3: docker network create --ipv6
F3: net.ipv6.conf.all.forwarding at 1 unseen
F4: .bashrc
F4: a CA file
F4: a PAM line
F4: a container without ports
F4: a jail file
F4: a masked timer
F4: a new user with a key
F4: a second uid 0
F4: a setuid copy of bash
F4: a sysctl
F4: a tag
F4: a volume
F4: a working virtual host in conf.d
F4: a working virtual host in sites-enabled
F4: a wrapper in /usr/local/bin
F4: an empty network
F4: an extra address
F4: an extra route
F4: an sshd Match after ours that enables X11
F4: apt blacklist
F4: apt hooks
F4: apt sources
F4: at
F4: authorized_keys2 of declared users
F4: cron.d
F4: cron.daily
F4: crontab
F4: docker update
F4: drop-ins for cron
F4: drop-ins for docker
F4: drop-ins for nginx
F4: drop-ins for ssh
F4: even --privileged --pid=host -v /:/hostfs
F4: file capabilities
F4: hosts
F4: ld.so.preload
F4: linger
F4: members of docker
F4: modprobe.d
F4: modules-load.d
F4: profile.d
F4: rc.local
F4: resolv.conf
F4: root's authorized_keys
F4: root's password set
F4: sshd Match blocks that come before ours
F4: sshrc
F4: sudoers
F4: sysctl.d
F4: timers
F4: udev
F4: ufw's before.rules
F4: units
F7: Swarm
F7: a vhost that breaks nginx -t
F7: macvlan passes all firewalls
U1: chmod 777 /etc/nginx/nginx.conf
U1: worker_connections 5; in nginx.conf
""".splitlines()
"""Changes by hand that two reviews tried, and that no preview showed at that time.

Each has the chapter and the words of its review.

A new user wrote the chapter U1. A change that both reviews found is listed once, in chapter F4.
"""
