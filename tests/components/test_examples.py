"""Every component's docstring has an example that a person can paste and run.

The part `Example:` has a whole program in a block ```` ```python ````: its imports, `write_ssh_config` for
its hosts, the `Host`, and the component.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from portcullis import components
from portcullis.components.host import images
from portcullis.config import reference
from portcullis.host import ssh_config_path
from tests.previews import unknown_in
from tests.recording_engine import Registered, declare

if TYPE_CHECKING:
    from pathlib import Path

    import pulumi

COMPONENTS = reference.components({name: getattr(components, name) for name in components.__all__})


def pinned(named: dict[str, str], *_: object, **_more: object) -> dict[str, str]:
    """Return a digest for every image, like registries."""
    return {path: image if "@" in image else f"{image}@sha256:{'1' * 64}" for path, image in named.items()}


def registered(folder: Path) -> list[Registered]:
    """Return what all examples declare. They run in this folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(images, "resolve", pinned)
        return [
            one
            for component in COMPONENTS.values()
            for one in declare(
                lambda: exec(reference.example(component), {"__name__": "__main__"}),  # noqa: B023, S102
                preview=False,
            ).declared
        ]


@pytest.mark.parametrize("component", [pytest.param(one, id=name) for name, one in COMPONENTS.items()])
def test_an_example_is_a_program_that_runs(
    component: type[pulumi.ComponentResource], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # The tests ask no registry for the digest of a tag.
    monkeypatch.setattr(images, "resolve", pinned)
    program = reference.example(component)
    assert program, f"{component.__name__}: the docstring has no example"

    def run() -> None:
        exec(compile(program, f"the example of {component.__name__}", "exec"), {"__name__": "__main__"})  # noqa: S102

    engine = declare(run, preview=False)
    assert engine.of(f":{component.__name__}"), "the example does not make what it is an example of"
    # A generated secret is a resource of ours that is on no host.
    ours = [resource.inputs for resource in engine.declared if resource.is_on_host]
    hosts = {inputs["host"] for inputs in ours if "host" in inputs}
    written = ssh_config_path("test")
    connections = written.read_text() if written.exists() else ""
    assert not [host for host in hosts if f"Host {host}\n" not in connections], "write_ssh_config is missing"
    unknown_in(run)  # a preview registers the same resources
