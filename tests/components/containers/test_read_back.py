"""The inputs of a container read back as they were written, for all settings and images.

An input that reads back differently would replace the container at every `up`. The test takes the same steps
as a deployment and a later refresh. The plugin checks the inputs (Check), dockerd makes the container, the
plugin reads the container (Read), and compares it with the inputs (Diff). tests/contract shows that the
stand-in behaves like the official plugin. tests/contract also shows that dockerd fills in values like
`inspected` below.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest

from lab.plugins.diff import differences
from lab.plugins.docker_plugin.container_config import create_body
from lab.plugins.docker_plugin.container_facts import facts
from lab.plugins.docker_plugin.durations import go_text, nanoseconds
from lab.plugins.docker_plugin.provider import DockerPlugin
from lab.plugins.docker_plugin.schema import CONTAINER
from lab.plugins.docker_plugin.state import created, planned, refreshed
from lab.plugins.inputs import read_inputs
from lab.plugins.plugin import Target
from portcullis.components import JobsArgs
from tests.components.test_components import container, docker_engine
from tests.recording_engine import declare

if TYPE_CHECKING:
    from tests.recording_engine import Registered

    Json = dict[str, Any]

TMP = "/tmp"  # noqa: S108 - inside a container
SECOND = 10**9
# The ends of the range of each setting, and each spelling.
RANGE: list[Json] = [
    *({"cpus": cpus} for cpus in ("0.1", "0.50", ".5", "1", "1.0", "1.05", "10", "16.000", "100.5", "512")),
    *({"memory": megabytes} for megabytes in (6, 255, 256, 1024, 4_194_304)),
    *({"stop_grace": seconds} for seconds in (1, 10, 59, 60, 90, 3600)),
    *({"user": user} for user in ("1000", "65534:65534", "0001:1", "node", "node:node")),
    *({"env": env} for env in ({}, {"A": ""}, {"B": "2", "A": "1"}, {"A": "x=y, ü\n"}, {"PATH": "/x"})),
    *({"tmpfs": {"/run/x": size}} for size in (1, 64, 4_194_304)),
    {"tmpfs": {TMP: 8}},
    {"volumes": {"b-data": "/b", "a-data": "/a"}},
    {"volumes": {"scratch": TMP}},
    {"binds": {"/srv/b": "/a", "/srv/a": "/b"}},
    {"host_port": None},
    {"host_port": 32767, "port": 1},
    {"rollout": True, "host_port": None},
    {"shared": True, "bridge": "br-x"},
    {"command": ("x",)},
    {"command": ("sh", "-c", 'echo "a  b" ü')},
    {"health_command": None, "health": "/healthz"},
    {"health_command": None},
    {"health_command": ("x", "", "y z")},
    {"refresh": {"b": "2", "a": ""}},
    {"secrets": {"token": "x"}},
    {"jobs": JobsArgs(before=("a", ("b", "c")), after=("d",))},
]
IMAGES: dict[str, Json] = {
    "plain": {"Cmd": ["serve"]},
    "own": {
        "Cmd": ["serve"],
        "Entrypoint": ["docker-entrypoint.sh"],
        "Env": ["PATH=/bin", "A=of the image"],
        "Labels": {"org.opencontainers.image.title": "x"},
        "User": "node",
        "WorkingDir": "/app",
        "Volumes": {"/data": {}},
        "ExposedPorts": {"9/tcp": {}},
        "StopSignal": "SIGINT",
        "Healthcheck": {
            "Test": ["CMD", "x"],
            "Interval": 90 * SECOND,
            "Timeout": 61 * SECOND,
            "StartPeriod": SECOND,
            "StartInterval": SECOND // 2,
            "Retries": 7,
        },
    },
}
_TIMES = ("Interval", "Timeout", "StartPeriod", "StartInterval", "Retries")


def inspected(body: Json, image: Json) -> Json:
    """Return the output of `docker inspect` for a container that a request with this body created.

    An image fills in missing values: see `merge` in daemon/commit.go of moby 26 to 28. The Docker engine also
    fills in values: see `adaptContainerSettings` in daemon/daemon_unix.go.
    """
    config = {key: value for key, value in deepcopy(body).items() if key != "HostConfig"}
    for key in ("User", "WorkingDir", "StopSignal"):
        config[key] = config.get(key) or image.get(key, "")
    names = {entry.partition("=")[0] for entry in config.get("Env") or []}
    config["Env"] = [
        *(config.get("Env") or []),
        *(entry for entry in image.get("Env", []) if entry.partition("=")[0] not in names),
    ]
    config["Labels"] = {**image.get("Labels", {}), **config["Labels"]}
    if not config.get("Entrypoint"):
        config["Cmd"] = config.get("Cmd") or image.get("Cmd")
        config["Entrypoint"] = image.get("Entrypoint")
    if check := image.get("Healthcheck"):
        own = config.setdefault("Healthcheck", {})
        own.update({key: own.get(key) or check[key] for key in ("Test", *_TIMES)})
    host = {"AutoRemove": False, "Runtime": "", **deepcopy(body["HostConfig"])}
    host |= {"ShmSize": host["ShmSize"] or 64 << 20, "IpcMode": host["IpcMode"] or "private"}
    host |= {"Runtime": host["Runtime"] or "runc", "MemorySwap": host["MemorySwap"] or 2 * host["Memory"]}
    return {
        "Name": "/x",
        "Image": config["Image"],
        "Platform": "linux",
        "Config": config,
        "HostConfig": host,
        "State": {"Running": True, "ExitCode": 0},
        "NetworkSettings": {"Bridge": "", "Networks": {}, "Ports": host.get("PortBindings", {})},
    }


def differs(given: Json, image: Json) -> tuple[list[str], Json, Json]:
    """Return the differences that a refresh and a preview show: paths, and the inputs before and after."""
    inputs, problems = DockerPlugin(lambda *_, **__: None).check(
        Target("u", "docker:index/container:Container", "x"), {}, given
    )
    assert problems == []
    found = {**inspected(create_body(inputs), image), "Name": "/" + inputs["name"]}
    stored = created(CONTAINER, inputs, facts(found, planned(CONTAINER, inputs)))
    read = refreshed(CONTAINER, stored, facts(found, stored))
    return (
        [each.path for each in differences(CONTAINER, read, inputs)],
        inputs,
        read_inputs(CONTAINER, inputs, read),
    )


def whole(value: Any) -> Any:
    """Return all numbers as floats, as the plugin gets them."""
    if isinstance(value, dict):
        return {key: whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _without_ignored(inputs: Json) -> Json:
    left_out = ("startInterval", "__defaults")
    check = {key: value for key, value in inputs["healthcheck"].items() if key not in left_out}
    return {**inputs, "healthcheck": check}


def program() -> None:
    engine = docker_engine()
    for number, settings in enumerate(RANGE):
        container(f"c{number}", engine=engine, **{"host_port": 2000 + number, **settings})


@pytest.fixture(scope="module")
def declared() -> list[Registered]:
    """All containers of this test, with their jobs."""
    return declare(program, preview=False).of("container:Container")


@pytest.mark.parametrize("image", IMAGES)
def test_a_container_reads_back_as_it_was_written(declared: list[Registered], image: str) -> None:
    assert len(declared) == len(RANGE) + 3
    for one in declared:
        found, before, after = differs(whole(one.inputs), IMAGES[image])
        ignored = set(one.options.ignoreChanges)
        assert set(found) <= ignored, f"{one.name}: {RANGE[int(one.name[1:].partition('-')[0])]}"
        before, after = (_without_ignored(side) for side in (before, after))
        assert before == after, one.name


@pytest.mark.parametrize(
    ("other", "path"),
    [
        ({"cpus": "1"}, "cpus"),
        ({"healthcheck": {"tests": ["NONE"]}}, "healthcheck.interval"),
        ({"healthcheck": {"tests": ["CMD", "x"], "interval": "90s"}}, "healthcheck.interval"),
        ({"memorySwap": 0}, "memorySwap"),
        ({"logOpts": {"max-size": "10m"}}, ""),
    ],
)
def test_an_input_that_does_not_read_back_shows(declared: list[Registered], other: Json, path: str) -> None:
    """One of these differences happened in practice, and the others are similar."""
    found, _, _ = differs(whole(declared[0].inputs) | other, IMAGES["own"])
    assert path in found if path else not set(found) - {"healthcheck.startInterval"}


def test_every_duration_is_spelled_as_go_spells_it(declared: list[Registered]) -> None:
    for one in declared:
        for name in ("interval", "timeout", "startPeriod"):
            text = one.inputs["healthcheck"][name]
            assert go_text(nanoseconds(text)) == text
