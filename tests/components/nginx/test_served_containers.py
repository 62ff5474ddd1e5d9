"""The containers to which nginx sends requests, and those to which it may send them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from portcullis.agent.machine import Machine
from portcullis.components.nginx.on_host.served_containers import IS_SERVED, MAY_BE_SERVED, Targets

if TYPE_CHECKING:
    from pathlib import Path


def targets(root: Path, text: str) -> Targets:
    (root / "etc/nginx").mkdir(parents=True)
    (root / "etc/nginx/nginx.conf").write_text(f"http {{ {text} }}")
    return Targets(Machine(etc=root / "etc"))


def container(number: str, ip: str = "", *, state: str = "running", mode: str = "plain") -> dict[str, Any]:
    """Return an entry of Docker's list: a container with an address, which publishes a port of its own."""
    network = {"IPAddress": ip, "GlobalIPv6Address": ip and f"fd00::{ip.rpartition('.')[2]}"}
    return {
        "Id": number,
        "Names": [f"/{number}-name"],
        "State": state,
        "Ports": [{"PublicPort": 9000 + int(ip.rpartition(".")[2])}] if ip else [],
        "HostConfig": {"NetworkMode": mode},
        "NetworkSettings": {"Networks": {"plain": network} if ip else {}},
    }


LISTED = [container("app", "172.18.0.5"), container("other", "172.18.0.6")]


@pytest.mark.parametrize(
    "text",
    [
        "proxy_pass http://172.18.0.5:3000;",
        "proxy_pass 'http://172.18.0.5:3000/x';",
        "proxy_pass http://172.18.0.5:3000?x=1;",
        "proxy_pass http://172.18.0.5/$1;",
        "proxy_pass http://[fd00:0:0::5]:3000;",
        "proxy_pass http://[::ffff:172.18.0.5]:3000;",
        "proxy_pass http://localhost:9005;",
        "fastcgi_pass 127.0.0.1:09005;",
        "upstream App { server 172.17.0.1:9005 max_fails=0; } server { proxy_pass https://app/x; }",
    ],
)
def test_the_container_of_a_clear_target(tmp_path: Path, text: str) -> None:
    found = targets(tmp_path, text)
    assert found.texts(LISTED) == {"app": IS_SERVED}


@pytest.mark.parametrize(
    "text",
    [
        "set $b 172.18.0.5:3000; proxy_pass http://$b;",
        "map $host $b { default 172.18.0.5:3000; } server { proxy_pass $scheme://$b; }",
        "set $p 9005; proxy_pass http://127.0.0.1:$p;",
        "proxy_pass http://app.internal:3000;",
        "upstream app { server app:3000; } server { proxy_pass http://app; }",
        "upstream app { server app; } server { fastcgi_pass app; }",
        "upstream app { server unix:/srv/app/s; }",
        "fastcgi_pass unix:/run/php.sock;",
        "proxy_pass http://unix:/srv/app/s:/x;",
        "proxy_pass http://2886860805:3000;",
    ],
)
def test_an_unclear_target_may_be_each_container_that_runs(tmp_path: Path, text: str) -> None:
    found = targets(tmp_path, text)
    listed = [*LISTED, container("old", state="exited")]
    listed[1] = {**listed[1], "Ports": [{"PublicPort": 80}]}
    assert found.texts(listed) == {"app": MAY_BE_SERVED, "other": MAY_BE_SERVED}


def test_the_address_before_a_variable_is_clear(tmp_path: Path) -> None:
    found = targets(tmp_path, "proxy_pass http://172.18.0.5:3000$request_uri;")
    assert found.texts(LISTED) == {"app": IS_SERVED, "other": MAY_BE_SERVED}


@pytest.mark.parametrize("owner", ["app", "app-name"])
@pytest.mark.parametrize("target", ["172.18.0.5:3000", "127.0.0.1:9005"])
def test_a_container_in_the_network_of_a_served_one(tmp_path: Path, owner: str, target: str) -> None:
    member = container("member", mode=f"container:{owner}")
    found = targets(tmp_path, f"proxy_pass http://{target};")
    assert found.texts([member, *LISTED]) == {"app": IS_SERVED, "member": IS_SERVED}
