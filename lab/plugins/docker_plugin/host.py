"""The address of a Docker engine's host, for the OpenSSH client."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from lab.plugins.errors import PluginError


@dataclass(frozen=True, slots=True)
class SshHost:
    """The address of a Docker engine's host. `options` are options of the OpenSSH client, such as -F FILE."""

    url: str
    name: str
    user: str
    port: str
    options: tuple[str, ...]

    @classmethod
    def parse(cls, url: str, options: list[str]) -> SshHost:
        """From `ssh://[user@]host[:port]`.

        Raises:
            PluginError: it is another kind of address.
        """
        parts = urlsplit(url)
        if parts.scheme != "ssh" or not parts.hostname or parts.path.strip("/"):
            message = (
                f"host {url!r}: the docker plugin's stand-in knows only ssh://[user@]host[:port]. "
                "Install the official plugin for others (docs/plugin-stand-ins.md)"
            )
            raise PluginError(message)
        return cls(url, parts.hostname, parts.username or "", str(parts.port or ""), tuple(options))

    @property
    def command(self) -> list[str]:
        """Return the command whose stdin and stdout lead to the Docker engine's socket."""
        user = ["-l", self.user] if self.user else []
        port = ["-p", self.port] if self.port else []
        remote = ["--", self.name, "docker", "system", "dial-stdio"]
        return ["ssh", *self.options, "-o", "ConnectTimeout=30", "-T", *user, *port, *remote]
