"""The command that asks a container whether it is well."""

from __future__ import annotations

import re


def http_check(port: int, path: str) -> list[str]:
    """Return a Docker health check that asks for a path on the container's own loopback.

    Images differ: Alpine and busybox have wget, many have curl, an image that has neither may have Node or
    Python. The first one found is used; with none of them the check fails and says what to do.

    Raises:
        ValueError: a path that does not fit between single quotes in a shell.
    """
    if not re.fullmatch(r"/[A-Za-z0-9._~/?=&%+,-]*", path):
        raise ValueError(f"{path!r} is not a path that can be asked for")
    url = f"http://127.0.0.1:{port}{path}"
    # 3 s: below the check's own time-out of 4 s, so that the tool's message is what Docker shows. Not for
    # wget: busybox 1.37 of Debian 13 dies of SIGSEGV with -T.
    tries = [
        ("wget", f"exec wget -q -O /dev/null '{url}'"),
        ("curl", f"exec curl -fsS -m 3 -o /dev/null '{url}'"),
        (
            "node",
            (
                f'exec node -e \'require("http").get("{url}",{{timeout:3000}},'
                'r=>process.exit(r.statusCode<400?0:1)).on("error",()=>process.exit(1))\''
            ),
        ),
        ("python3", f"exec python3 -c 'import urllib.request as u;u.urlopen(\"{url}\",timeout=3)'"),
    ]
    branches = "; ".join(f"if command -v {tool} >/dev/null; then {run}; fi" for tool, run in tries)
    hint = "no wget, curl, node or python3 in this image: set healthCommand"
    return ["CMD-SHELL", f"{branches}; echo '{hint}'; exit 1"]
