from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from tests.on_host import Client


def wanted(path: Path, **more: Any) -> dict[str, Any]:
    return {
        "path": str(path),
        "owner": "root",
        "group": "root",
        "mode": "0750",
        "on_delete": "remove",
        **more,
    }


def test_a_directory_is_made_kept_and_removed(client: Client, etc: Path) -> None:
    path = etc / "app"
    made = client.on("put", "directory", str(path), wanted(path, owner="daemon"))
    numbers = {"owner_id": "1", "group_id": "0"}
    found = {"exists": True, "owner": "daemon", "group": "root", "mode": "0750", **numbers}
    assert made["facts"] == {**found, "revision": made["facts"]["revision"]}
    assert client.on("put", "directory", str(path), wanted(path, owner="daemon"))["steps"] == []
    path.chmod(0o777)
    assert (
        client.on("put", "directory", str(path), wanted(path, owner="daemon"))["steps"][0]["have"] == "0777"
    )
    assert client.on("remove", "directory", str(path), wanted(path))["done"] == "removed"
    assert not path.exists()


def test_a_directory_that_is_not_empty_stays(client: Client, etc: Path) -> None:
    path = etc / "app"
    client.on("put", "directory", str(path), wanted(path))
    (path / "data").touch()
    assert client.on("remove", "directory", str(path), wanted(path))["done"] == "kept"
    assert (path / "data").exists()


def test_an_older_directory_gets_its_owner_and_mode_back_and_stays(client: Client, etc: Path) -> None:
    path = etc / "app"
    path.mkdir(mode=0o700)
    assert client.refused("put", "directory", str(path), wanted(path)).prop == "mode"
    client.on("put", "directory", str(path), wanted(path), adopt=True)
    assert client.on("remove", "directory", str(path), wanted(path))["done"] == "restored"
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_link_to_a_directory_is_not_a_directory(client: Client, etc: Path) -> None:
    path = etc / "app"
    (etc / "elsewhere").mkdir(mode=0o700)
    path.symlink_to("elsewhere")
    error = client.refused("put", "directory", str(path), wanted(path), adopt=True)
    assert error.code == "invalid"
    assert "a symbolic link to elsewhere" in error.message
    assert stat.S_IMODE((etc / "elsewhere").stat().st_mode) == 0o700


def test_a_file_in_the_way_is_named(client: Client, etc: Path) -> None:
    path = etc / "app"
    path.touch()
    assert "is a file" in client.refused("put", "directory", str(path), wanted(path), adopt=True).message


def test_a_missing_folder_above_is_named(client: Client, etc: Path) -> None:
    path = etc / "a" / "b"
    assert "the folder" in client.refused("put", "directory", str(path), wanted(path)).message


def test_delete_of_a_missing_directory_is_no_error(client: Client, etc: Path) -> None:
    path = etc / "app"
    client.on("put", "directory", str(path), wanted(path))
    path.rmdir()
    assert client.on("remove", "directory", str(path), wanted(path))["done"] == "absent"


def test_on_delete_keep(client: Client, etc: Path) -> None:
    path = etc / "app"
    client.on("put", "directory", str(path), wanted(path))
    assert client.on("remove", "directory", str(path), wanted(path, on_delete="keep"))["done"] == "kept"
    assert path.exists()


def test_an_owner_declared_by_number_converges_where_the_host_has_a_name_for_it(
    client: Client, etc: Path
) -> None:
    path = etc / "app"
    client.on("put", "directory", str(path), wanted(path, owner="1"))
    assert client.on("put", "directory", str(path), wanted(path, owner="1"))["steps"] == []
    assert (
        client.on("put", "directory", str(path), wanted(path, owner="2"))["steps"][0]["property"] == "owner"
    )


def private(path: Path) -> dict[str, Any]:
    return wanted(path, make_parents=True)


def test_missing_folders_above_are_private_and_removed_with_the_last_folder(
    client: Client, etc: Path
) -> None:
    first, second = etc / "portcullis" / "secrets" / "api", etc / "portcullis" / "secrets" / "web"
    for path in (first, second):
        client.on("put", "directory", str(path), private(path))
    for path in (etc / "portcullis", etc / "portcullis" / "secrets"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert client.on("remove", "directory", str(first), private(first))["done"] == "removed"
    assert second.is_dir()
    again = client.again()
    assert again.on("remove", "directory", str(second), private(second))["done"] == "removed"
    assert list(etc.iterdir()) == []
    assert etc.is_dir()


def test_existing_folders_above_stay_as_they_are(client: Client, etc: Path) -> None:
    there, path = etc / "portcullis", etc / "portcullis" / "secrets" / "api"
    there.mkdir(mode=0o755)
    client.on("put", "directory", str(path), private(path))
    client.on("remove", "directory", str(path), private(path))
    assert list(there.iterdir()) == []
    assert stat.S_IMODE(there.stat().st_mode) == 0o755


def test_a_missing_folder_above_is_an_error_without_make_parents(client: Client, etc: Path) -> None:
    path = etc / "a" / "b"
    assert "does not exist" in client.refused("put", "directory", str(path), wanted(path)).message
