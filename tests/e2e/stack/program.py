"""The whole program on a lab host, with its own settings file and state, and helpers for its tests.

The settings begin as a copy of `Pulumi.hello.yaml`, with the facts of the test's host. The host's name is
`web1`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml

from lab import machine, stack
from tests.e2e.project import CHECKOUT, STACK, Project

if TYPE_CHECKING:
    from lab.pytest_lab import Host

SITE = "hello.example.com"
RESOURCES = 80
"""How many resources they are, the stack included."""
HELLO = Path(__file__).parent / "Pulumi.hello.yaml"
SITE_FILE = f"/etc/nginx/conf.d/{SITE}.conf"
PAGE = "Hello from a container"
"""What the page of its app says."""

_NO_CACHES = shutil.ignore_patterns("__pycache__", ".*_cache")


class Program(Project):
    """A copy of the repository's program, with its own settings and state."""

    def __init__(self, folder: Path, host: Host, settings: str = "", **changes: Any) -> None:
        """Copy the program into a folder.

        `settings` replaces the usual settings, `changes` changes settings of the host.
        """
        super().__init__(folder, host, name="portcullis")
        manifest = (CHECKOUT / "Pulumi.yaml").read_text()
        (folder / "Pulumi.yaml").write_text(manifest.replace(".venv", str(CHECKOUT / ".venv")))
        shutil.copyfile(CHECKOUT / "__main__.py", folder / "__main__.py")
        for package in ("components", "plugin", "policy", "portcullis"):
            shutil.copytree(CHECKOUT / package, folder / package, ignore=_NO_CACHES, symlinks=True)
        self.settings = folder / f"Pulumi.{STACK}.yaml"
        self.settings.write_text(stack.renew(settings or HELLO.read_text(), self._fact)[0])
        if changes:
            self.set("hosts.web1", **changes)

    @classmethod
    def copied(cls, folder: Path, host: Host, original: Path, settings: str) -> Self:
        """Return a program for a copied host, with the state of the program on the original host."""
        made = cls(folder, host, settings)
        shutil.copytree(original / "state", folder / "state", dirs_exist_ok=True)
        salt = yaml.safe_load((original / made.settings.name).read_text())["encryptionsalt"]
        made.settings.write_text(f"{made.settings.read_text()}\nencryptionsalt: {salt}\n")
        made._made = True
        return made

    def _fact(self, name: str) -> str:
        return stack.fact(name.replace("web1", self.host.name))

    def image(self, tagged: str) -> str:
        """Return an image of the lab's registry with its digest."""
        return stack.fact(f"image {tagged}")

    def config(self) -> dict[str, Any]:
        """Return the content of the settings file."""
        read: dict[str, Any] = yaml.safe_load(self.settings.read_text())
        return read

    def write(self, config: dict[str, Any]) -> None:
        """Write the settings file."""
        self.settings.write_text(yaml.safe_dump(config, sort_keys=False))

    def site(self, name: str, **values: Any) -> None:
        """Set keys of a site.

        None removes a key. `set` does not work for sites, because their names have dots.
        """
        config = self.config()
        entry = config["config"].setdefault("portcullis:sites", {}).setdefault(name, {}) | values
        config["config"]["portcullis:sites"][name] = {k: v for k, v in entry.items() if v is not None}
        self.write(config)

    def set(self, place: str, **values: Any) -> None:
        """Set keys of an entry, such as `apps.hello`, and create the entry if needed. None removes a key."""
        config = self.config()
        section, *names = place.split(".", 1)
        entry = config["config"].setdefault(f"portcullis:{section}", {})
        for name in names:
            entry = entry.setdefault(name, {})
        entry.update(values)
        for key in [key for key, value in entry.items() if value is None]:
            del entry[key]
        self.write(config)

    def encrypt(self, place: str, value: str) -> None:
        """Set one value below a key, encrypted; it goes in by standard input."""
        self._ensure_stack()
        argv = ["pulumi", "config", "set", "--stack", STACK, "--secret", "--path"]
        section, _, path = place.partition(".")
        subprocess.run(
            [*argv, f"portcullis:{section}.{path}"],
            cwd=self.folder, env=self.env, input=value, text=True, check=True, timeout=600,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def page(self, path: str = "/", *, site: str = SITE, address: str = "") -> str:
        """Fetch a page from the internet. Return the body, or curl's error."""
        address = address or self.host.address
        at = f"[{address}]" if ":" in address else address
        argv = ["--fail", "--resolve", f"{site}:80:{at}", f"http://{site}{path}"]
        _, body = machine.fetch("internet", argv)
        return body

    def wait_for_page(self, text: str, *, site: str = SITE, timeout: float = 120) -> None:
        """Wait until the page is served and holds a text, as after a boot."""
        deadline = time.monotonic() + timeout
        while text not in (said := self.page(site=site)):
            assert time.monotonic() < deadline, f"{site} was not served within {timeout:.0f} s: {said}"
            time.sleep(0.3)

    def docker(self, *argv: str, check: bool = True) -> str:
        """Run a docker command on the host. Return its output."""
        return self.host.run(["docker", *argv], check=check).stdout

    def inspect(self, name: str = "hello") -> dict[str, Any]:
        """Return the output of `docker inspect` for a container."""
        found: list[dict[str, Any]] = json.loads(self.docker("container", "inspect", name))
        return found[0]
