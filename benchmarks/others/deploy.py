"""The benchmark's graph as operations of pyinfra. pyinfra runs this file in its own Python environment."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

from pyinfra import host  # type: ignore[import-not-found]
from pyinfra.operations import apt, files, systemd  # type: ignore[import-not-found]

graph = json.loads(Path(host.data.graph).read_text())
apt.packages(packages=graph["packages"])
for file in graph["files"]:
    files.put(
        src=StringIO(file["content"]), dest=file["path"], user="root", group="root", mode=file["mode"][1:]
    )
for service in graph["services"]:
    systemd.service(service=service["unit"], running=True, enabled=True)
