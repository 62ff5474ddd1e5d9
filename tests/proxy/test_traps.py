"""On Debian 12 and 13, our configuration passes every check in traps.py, and copied configurations fail."""

from __future__ import annotations

import contextlib
import http.client
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import bcrypt
import pytest
import yaml

from portcullis.components.nginx import render as nginx
from tests.proxy import catalogue, hosts, roots, traps
from tests.proxy.certificates import issue
from tests.proxy.edge import Edge, serving
from tests.proxy.traps import TRAPS, Trap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAIVE = Path(__file__).parent / "naive"
HASHED = bcrypt.hashpw(hosts.PASSWORD.encode(), bcrypt.gensalt(6)).decode()
FAILS: dict[str, str] = yaml.safe_load((NAIVE / "fails.yaml").read_text())
CHECKS = traps.__file__
PROFILE = {"old_protocols_are_refused_for_every_site": "modern"}


@pytest.fixture(scope="module", params=["debian-12", "debian-13"])
def ours(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    root = roots.root(request.param)

    def texts(profile: str) -> dict[str, str | bytes]:
        found: dict[str, str | bytes] = dict(catalogue.files(root, hosts.SITES, profile=profile))
        guarded = {site.passwords: f"{hosts.USER}:{HASHED}\n" for site in hosts.SITES if site.passwords}
        return found | guarded | hosts.FILES

    with contextlib.ExitStack() as stack:
        yield Opened(stack, tmp_path_factory, root, texts)


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    root = roots.root("debian-12")
    pair = issue(catalogue.every_name(hosts.SITES))

    def texts(name: str) -> dict[str, str | bytes]:
        return {
            nginx.PACKAGED_SITE_PATH: "",
            "/etc/nginx/conf.d/naive.conf": (NAIVE / name).read_text(),
            "/etc/nginx/naive.pem": pair.key + pair.chain,
            "/etc/nginx/naive.htpasswd": f"{hosts.USER}:{HASHED}\n",
            **hosts.FILES,
        }

    with contextlib.ExitStack() as stack:
        yield Opened(stack, tmp_path_factory, root, texts)


class Opened:
    """Running servers, by the name of their configuration. Each server starts at its first use."""

    def __init__(
        self,
        stack: contextlib.ExitStack,
        folders: pytest.TempPathFactory,
        root: roots.Root,
        texts: Callable[[str], dict[str, str | bytes]],
    ) -> None:
        self._stack, self._folders, self._root, self._texts = stack, folders, root, texts
        self._running: dict[str, Edge] = {}

    def __getitem__(self, name: str) -> Edge:
        if name not in self._running:
            folder = self._folders.mktemp("nginx")
            self._running[name] = self._stack.enter_context(serving(self._root, folder, self._texts(name)))
        return self._running[name]


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.name)
def test_our_configuration_avoids_the_trap(trap: Trap, ours: Opened) -> None:
    trap.check(ours[PROFILE.get(trap.name, "intermediate")])


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: f"{trap.naive}-{trap.name}")
def test_a_copied_configuration_falls_into_the_trap(trap: Trap, copied: Opened) -> None:
    assert failed_at(trap, copied[trap.naive]) == FAILS[trap.name]


def failed_at(trap: Trap, edge: Edge) -> str:
    """Return the statement at which the check fails.

    A failure at another statement does not show the expected fault.
    """
    try:
        trap.check(edge)
    except (AssertionError, http.client.RemoteDisconnected) as error:
        ours = [entry for entry in traceback.extract_tb(error.__traceback__) if entry.filename == CHECKS]
        lines = Path(CHECKS).read_text().splitlines()[ours[-1].lineno - 1 : ours[-1].end_lineno]
        return " ".join(" ".join(lines).split())
    return ""


def test_fails_yaml_names_exactly_the_traps() -> None:
    assert set(FAILS) == {trap.name for trap in TRAPS}
