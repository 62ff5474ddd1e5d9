"""Generated secrets, and secrets as files for containers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi
import pytest

from portcullis.components import SecretFiles
from portcullis.components.secrets.resource import GeneratedSecret, GeneratedSecretProvider
from portcullis.host import Host
from tests.previews import unknown_in

if TYPE_CHECKING:
    from tests.recording_engine import Deploy


def made(**inputs: Any) -> dict[str, Any]:
    outs = GeneratedSecretProvider().create({"length": 40.0, **inputs}).outs
    assert outs is not None
    return outs


def test_a_secret_is_long_random_and_alphanumeric() -> None:
    first, second = made(), made()
    assert first["value"] != second["value"]
    assert len(first["value"]) == 40
    assert first["value"].isalnum()
    assert first["value"].isascii()
    assert (first["previous"], first["generation"]) == ("", 1)


def test_a_new_rotate_value_makes_a_new_secret_and_keeps_the_old_one() -> None:
    provider, old = GeneratedSecretProvider(), made(rotate="2026-11")
    news = {"length": 30.0, "rotate": "2026-12"}
    assert provider.diff("x", old, news).changes is None
    new = provider.update("x", old, news).outs
    assert new is not None
    assert len(new["value"]) == 30
    assert (new["previous"], new["generation"], new["rotate"]) == (old["value"], 2, "2026-12")


@pytest.mark.parametrize("news", [{"length": 40}, {"length": 50, "rotate": "a"}, {"length": 50}])
def test_only_a_new_rotate_value_rotates(news: dict[str, Any]) -> None:
    assert GeneratedSecretProvider().diff("x", made(rotate="a"), news).changes is False


def test_constructor_and_check_refuse_a_weak_secret() -> None:
    with pytest.raises(ValueError, match="GeneratedSecret x: length: 8 is not a whole number between 20"):
        GeneratedSecret("x", length=8)
    found = GeneratedSecretProvider().check({}, {"length": 8.0, "rotate": 12.0}).failures
    assert [failure.property for failure in found] == ["length", "rotate"]


def test_only_value_and_previous_are_marked_secret(deploy: Deploy) -> None:
    seen: dict[str, bool] = {}

    def program() -> None:
        made = GeneratedSecret("x", rotate="2026-12")

        async def look() -> None:
            for name in ("value", "previous", "generation"):
                seen[name] = await getattr(made, name).is_secret()

        pulumi.Output.from_input(look())

    registered = deploy(program).one(":GeneratedSecret")
    assert registered.inputs == {"length": 40, "rotate": "2026-12"}
    assert list(registered.options.additionalSecretOutputs) == ["value", "previous"]
    assert seen == {"value": True, "previous": True, "generation": False}


def test_secret_files_belong_to_the_container_and_are_marked_secret(deploy: Deploy) -> None:
    found: list[SecretFiles] = []

    def program() -> None:
        files = {"redis_url": pulumi.Output.concat("redis://:", GeneratedSecret("pw").value), "plain": "x"}
        found.append(SecretFiles("web1-api", files, owner="999:998", host=Host("web1")))

    engine = deploy(program)
    folder = engine.one(":Directory").inputs
    assert (folder["path"], folder["owner"], folder["group"], folder["mode"], folder["make_parents"]) == (
        "/etc/portcullis/secrets/web1-api", "999", "998", "0500", True,
    )  # fmt: skip
    for file in engine.of(":File"):
        assert "content" in file.secret
        assert file.inputs["secret"] is True
        assert (file.inputs["owner"], file.inputs["group"], file.inputs["mode"]) == ("999", "998", "0400")
        assert "web1-api-folder" in file.after
    assert [set(one.revisions) for one in found] == [{"plain", "redis_url"}]
    assert engine.outputs["web1-api"] == {"path": folder["path"], "files": ["plain", "redis_url"]}


def test_one_error_names_every_fault_of_secret_files() -> None:
    with pytest.raises(ValueError, match="owner") as caught:
        SecretFiles("web1-api", {"../x": "y", ".portcullis-": "z"}, owner="root", host=Host("web1"))
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == [
        "SecretFiles.owner",
        "SecretFiles.files[0]",
        "SecretFiles.files[1]",
    ]
    assert "'y'" not in str(caught.value)


def test_a_preview_knows_everything_but_the_secret() -> None:
    def program() -> None:
        files = {"redis_url": GeneratedSecret("pw").value, "plain": "x"}
        SecretFiles("web1-api", files, owner="999:998", host=Host("web1"))

    assert unknown_in(program) == {"web1-api-redis_url.content"}
