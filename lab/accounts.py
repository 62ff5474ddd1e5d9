"""Makes /etc/passwd and /etc/group for an image."""

from __future__ import annotations


def accounts(**users: int) -> dict[str, bytes]:
    """Return /etc/passwd and /etc/group with root and ``users``, a map of names to numbers."""
    known = {"root": 0, **users}
    passwd = "".join(f"{name}:x:{number}:{number}::/:/bin/sh\n" for name, number in known.items())
    group = "".join(f"{name}:x:{number}:\n" for name, number in known.items())
    return {"etc/passwd": passwd.encode(), "etc/group": group.encode()}
