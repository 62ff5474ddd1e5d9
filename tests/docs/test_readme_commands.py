"""Runs the commands of the README in a fresh clone of the repository, on a lab host of the clone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import yaml

from lab import acme, keys, machine, network, stack
from tests.docs.clone import SITE_FILE, Clone
from tests.docs.pages import README, blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.pytest_lab import Lab


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, lab: Lab) -> Iterator[Clone]:  # noqa: ARG001
    made = Clone(tmp_path_factory.mktemp("readme") / "portcullis", "readme")
    yield made
    made.run("make down")


def test_the_demo_and_what_it_says_to_try(clone: Clone) -> None:
    said = clone.run(blocks(README)[0][0])
    assert "HTTP/2 200" in said
    assert "<title>Shop</title>" in said
    for verb in ("make ssh", "make preview", "make up", "make down"):
        assert verb in said

    assert "<title>Shop</title>" in clone.run("make demo")

    clone.run("make ssh", text=f"echo '# by hand' >>{SITE_FILE}\n")
    said = clone.run("make preview").splitlines()
    assert "web1: 1 change made by hand, 0 changes in your code" in said[0]
    assert said[1] == f"   ! {SITE_FILE}: text differs — up fixes it"
    # The service that read it, and what is asked of the site.
    details = "(. tools/env.sh; portcullis preview --stack lab --details)"
    assert said[2:] == ["2 more differences follow from these", f"Details: {details}"]
    assert "-# by hand" in clone.run(f"{details} || [ $? -eq 2 ]")
    assert f"✓ {SITE_FILE}: text differs" in clone.run("make up")
    assert len(clone.run("make preview").splitlines()) == 1

    settings = clone.folder / "Pulumi.lab.yaml"
    settings.write_text(settings.read_text().replace("spa: true", "spa: false"))
    assert "+ try_files $uri $uri/ =404;" in " ".join(clone.run("make preview PULUMI=--details").split())


def test_a_real_stack_with_settings_filled_in(clone: Clone) -> None:
    _, record = machine.find(clone.host)
    clone.run("make destroy")
    settings = clone.folder / "Pulumi.prod.yaml"
    written = yaml.safe_load(settings.read_text())
    config = written["config"]
    config["portcullis:hosts"]["web1"] |= {
        "address": network.on_segment(record.number).v4,
        "hostKey": keys.public_host_key(clone.host),
        "identityFile": str(keys.client_key()),
        # A lab host is a container: neither kernel nor clock are its own.
        "kernel": {"only": ["net.ipv4.", "net.ipv6."]},
        "upkeep": {"timeSync": False},
    }
    own = keys.client_key().with_suffix(".pub").read_text().strip()
    config["portcullis:hosts"]["web1"]["users"]["deploy"]["keys"]["laptop"] = own
    authority = acme.of(record)
    config["portcullis:acme"] |= {"server": authority.directory, "caBundle": str(authority.bundle)}
    config["portcullis:apps"]["api"] |= {"image": stack.fact("image hello:1")}
    settings.write_text(yaml.safe_dump(written))

    # The official command line is on PATH there; the one that was built stands in for it here.
    state = clone.folder / "prod-state"
    state.mkdir()
    clone.env |= {"PULUMI_CONFIG_PASSPHRASE": "prod", "EDITOR": "true", "PULUMI_SKIP_UPDATE_CHECK": "1"}
    instead = {
        "pulumi login": f"pulumi login file://{state}",
        # 2: it tells of differences.
        "portcullis preview --stack prod": "portcullis preview --stack prod || [ $? -eq 2 ]",
        "portcullis up --stack prod": "portcullis up --stack prod --yes",
    }
    script = [". tools/env.sh; unset PULUMI_BACKEND_URL; export PULUMI_CONFIG_PASSPHRASE=prod"]
    script.append("export PULUMI_HOME=$(mktemp -d -p .)")
    venv, *lines = blocks(README)[1]
    assert venv.startswith("python3 -m venv .venv"), "`make demo` made it, with the same requirements"
    script += [instead.get(line, line) for line in lines]
    said = clone.run("set -e; " + "\n".join(script))
    assert re.search(r"web1: \d+ done in", said)
    roots = clone.folder / "roots.pem"
    roots.write_text(authority.roots())
    where = ["--connect-to", f"::{network.on_segment(record.number).v4}:", "--cacert", str(roots)]
    page = machine.fetch("internet", [*where, "https://api.example.com/"])
    assert "Hello from a container" in page[1]
