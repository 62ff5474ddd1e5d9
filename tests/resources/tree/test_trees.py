from __future__ import annotations

import base64
import hashlib
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.agent import paths
from tests.agent.test_crash import rounds
from tests.on_host import Client

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from portcullis.agent.machine import Machine
    from portcullis.agent.safe_paths import FolderEntry

Json = dict[str, Any]


@dataclass
class TreeClient:
    """A test client for one tree."""

    client: Client
    path: Path

    def desired(self, files: dict[str, bytes], **more: Any) -> Json:
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        return {"path": str(self.path), "files": digests, "owner": "root", "group": "root", **more}

    def put(self, files: dict[str, bytes], *, adopt: bool = False, piece: int = 1 << 18, **more: Any) -> Json:
        desired = self.desired(files, **more)
        missing = self.client.ask("tree-missing", path=str(self.path), files=desired["files"])["missing"]
        for data in files.values():
            digest = hashlib.sha256(data).hexdigest()
            if digest in missing:
                missing.remove(digest)
                for start in range(0, max(len(data), 1), piece):
                    self.client.ask(
                        "blob", path=str(self.path), sha=digest, last=start + piece >= len(data),
                        data=base64.b64encode(data[start : start + piece]).decode(),
                    )  # fmt: skip
        return self.client.on("put", "tree", str(self.path), desired, adopt=adopt)

    def remove(self, **more: Any) -> str:
        done: str = self.client.on("remove", "tree", str(self.path), self.desired({}, **more))["done"]
        return done

    def facts(self) -> Json:
        return self.client.look("tree", str(self.path), {"path": str(self.path)})

    def contents(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.path)): path.read_bytes()
            for path in self.path.rglob("*")
            if path.is_file()
        }


SITE = {"index.html": b"<h1>1</h1>", "js/app/main.js": b"run()", "js/app/again.js": b"run()", "empty": b""}


@pytest.fixture
def site(client: Client, tmp_path: Path) -> TreeClient:
    (tmp_path / "www").mkdir()
    return TreeClient(client, tmp_path / "www" / "site")


def test_a_tree_has_all_files_their_modes_and_a_second_put_does_nothing(site: TreeClient) -> None:
    made = site.put(SITE, owner="daemon", piece=3)
    assert site.contents() == SITE
    assert site.path.is_symlink()
    modes = {stat.S_IMODE(p.stat().st_mode) for p in site.path.rglob("*") if p.is_file()}
    assert modes == {0o644}
    assert stat.S_IMODE((site.path / "js").stat().st_mode) == 0o755
    assert site.facts()["owner"] == "daemon"
    target = site.path.readlink()
    assert site.put(SITE, owner="daemon") == {"facts": made["facts"], "steps": []}
    assert site.path.readlink() == target


def test_only_bytes_that_the_host_lacks_are_sent(site: TreeClient) -> None:
    site.put(SITE)
    new = {**SITE, "index.html": b"<h1>2</h1>"}
    missing = site.client.ask("tree-missing", path=str(site.path), files=site.desired(new)["files"])[
        "missing"
    ]
    assert missing == [hashlib.sha256(b"<h1>2</h1>").hexdigest()]


def test_a_new_version_drops_the_old_files_and_folders(
    site: TreeClient, leftovers: Callable[[], list[str]]
) -> None:
    site.put(SITE)
    done = site.put({"index.html": b"<h1>2</h1>"})
    assert site.contents() == {"index.html": b"<h1>2</h1>"}
    assert {step["action"] for step in done["steps"]} == {"write", "remove"}
    assert len([name for name in leftovers() if name.count("/") == 1]) == 1


@pytest.mark.parametrize("what", ["edit", "extra", "chmod", "chown", "link", "folder mode", "gone"])
def test_drift_in_a_tree_is_seen_and_repaired(site: TreeClient, what: str) -> None:
    site.put(SITE)
    before = site.facts()
    page = site.path / "index.html"
    {
        "edit": lambda: page.write_text("hacked"),
        "extra": (site.path / "js" / "shell.php").touch,
        "chmod": lambda: page.chmod(0o666),
        "chown": lambda: os.chown(page, 1, 0),
        "link": lambda: (page.unlink(), page.symlink_to("/etc/passwd")),
        "folder mode": lambda: (site.path / "js").chmod(0o777),
        "gone": page.unlink,
    }[what]()
    assert {k: v for k, v in site.facts().items() if before[k] != v}
    site.put(SITE)
    after = site.facts()
    assert {**after, "revision": ""} == {**before, "revision": ""}
    assert after["revision"] != before["revision"]
    assert site.contents() == SITE


def test_both_versions_are_whole_at_the_moment_of_the_switch(
    site: TreeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = {"index.html": b"<h1>2</h1>", "css/main.css": b"*{}"}
    site.put(SITE)
    seen: list[dict[str, bytes]] = []

    def switch(place: FolderEntry, target: str) -> None:
        seen.append(site.contents())
        point(place, target)
        seen.append(site.contents())

    point = paths.point
    monkeypatch.setattr(paths, "point", switch)
    site.put(new)
    assert seen == [SITE, new]


def test_an_original_folder_comes_back_as_a_whole(
    site: TreeClient, leftovers: Callable[[], list[str]]
) -> None:
    (site.path / "old").mkdir(parents=True)
    (site.path / "old" / "page").write_text("theirs")
    error = site.client.refused("put", "tree", str(site.path), site.desired(SITE))
    assert error.code == "differs"
    site.put(SITE, adopt=True)
    site.put({"index.html": b"2"})
    assert site.remove() == "restored"
    assert (site.path / "old" / "page").read_text() == "theirs"
    assert leftovers() == []


def test_an_equal_folder_is_taken_over_without_adopt(site: TreeClient) -> None:
    site.path.mkdir(mode=0o755)
    (site.path / "a").write_text("a")
    (site.path / "a").chmod(0o644)
    assert site.put({"a": b"a"})["steps"] == []
    site.put({"a": b"b"})
    assert site.path.is_symlink()
    assert site.remove() == "restored"
    assert (site.path / "a").read_text() == "a"


def test_a_link_elsewhere_is_shown_replaced_and_restored(site: TreeClient, etc: Path) -> None:
    site.path.symlink_to(etc)
    assert site.facts()["files"] == {".": f"<a symbolic link to {etc}>"}
    site.put(SITE, adopt=True)
    assert list(etc.iterdir()) == []
    assert site.remove() == "restored"
    assert site.path.readlink() == etc


def test_delete_removes_link_and_versions(site: TreeClient, leftovers: Callable[[], list[str]]) -> None:
    site.put(SITE)
    assert site.remove() == "removed"
    assert list(site.path.parent.iterdir()) == []
    assert leftovers() == []


def test_on_delete_keep_leaves_a_working_tree(site: TreeClient) -> None:
    site.put(SITE)
    assert site.remove(on_delete="keep") == "kept"
    assert site.contents() == SITE


def test_a_folder_that_somebody_put_there_later_is_drift_and_removed(site: TreeClient) -> None:
    (site.path / "theirs").mkdir(parents=True)
    site.put(SITE, adopt=True)
    site.path.unlink()
    (site.path / "by hand").mkdir(parents=True)
    site.put(SITE)
    assert site.contents() == SITE
    site.remove()
    assert [p.name for p in site.path.iterdir()] == ["theirs"]


@pytest.mark.parametrize("name", ["../out", "/etc/x", "a/../../x", "a//b", ".", "..", "a/", "n\0l"])
def test_a_name_that_leads_out_of_the_tree_is_refused(site: TreeClient, name: str) -> None:
    error = site.client.refused("put", "tree", str(site.path), site.desired({name: b"x"}))
    assert (error.code, error.prop) == ("invalid", "files")


def test_damaged_bytes_are_refused(site: TreeClient) -> None:
    digest = hashlib.sha256(b"good").hexdigest()
    with pytest.raises(Exception, match="damaged"):
        site.client.ask(
            "blob", path=str(site.path), sha=digest, data=base64.b64encode(b"bad").decode(), last=True
        )
    assert site.client.refused("put", "tree", str(site.path), site.desired({"a": b"good"})).code == "invalid"
    assert not site.path.is_symlink()


def test_staged_bytes_that_a_crash_damaged_are_sent_again(site: TreeClient, tmp_path: Path) -> None:
    digest = hashlib.sha256(b"good").hexdigest()
    data = base64.b64encode(b"good").decode()
    site.client.ask("blob", path=str(site.path), sha=digest, data=data, last=True)
    (staged,) = tmp_path.rglob(digest)
    staged.write_bytes(b"")  # the state is as after a power cut
    with pytest.raises(Exception, match="changed while"):
        site.put({"a": b"good"})
    site.put({"a": b"good"})
    assert site.contents() == {"a": b"good"}


def test_staged_bytes_are_on_the_disk_before_they_count(
    site: TreeClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.sha256(b"good").hexdigest()
    synced: list[list[str]] = []
    monkeypatch.setattr(
        os, "fsync", lambda _fd: synced.append([p.name for p in tmp_path.rglob(digest + "*")])
    )
    data = base64.b64encode(b"good").decode()
    site.client.ask("blob", path=str(site.path), sha=digest, data=data, last=True)
    assert synced == [[f"{digest}.part"]]


def test_names_in_a_tree_that_are_not_utf_8_are_shown_with_escapes(site: TreeClient) -> None:
    site.put(SITE)
    (site.path / "link").symlink_to(os.fsdecode(b"\xff"))
    (site.path / os.fsdecode(b"caf\xe9")).touch(mode=0o644)
    files = site.facts()["files"]
    str(files).encode()
    assert files[r"caf\xe9"] == hashlib.sha256(b"").hexdigest()
    assert files["link"] == r"<a symbolic link to \xff>"
    site.put(SITE)
    assert site.contents() == SITE


def test_a_file_at_the_path_of_a_tree_is_an_error(site: TreeClient) -> None:
    site.path.touch()
    error = site.client.refused("put", "tree", str(site.path), site.desired(SITE), adopt=True)
    assert "is a file" in error.message


def test_kill_9_at_any_point_of_a_tree(
    machine: Machine, tmp_path: Path, leftovers: Callable[[], list[str]]
) -> None:
    (tmp_path / "www").mkdir()
    path = tmp_path / "www" / "site"
    old, new = {"d/a": b"1", "same": b"s"}, {"d/a": b"2", "same": b"s"}

    def once(work: Callable[[TreeClient], object]) -> None:
        client = Client(machine)
        work(TreeClient(client, path))
        client.close()

    def prepare() -> None:
        path.mkdir()
        (path / "theirs").touch()
        once(lambda tree: tree.put(old, adopt=True))

    def check_one(tree: TreeClient) -> None:
        assert tree.contents() in (old, new)
        tree.put(new)
        assert tree.contents() == new
        assert tree.remove() == "restored"
        assert [p.name for p in path.iterdir()] == ["theirs"]
        assert leftovers() == []
        (path / "theirs").unlink()
        path.rmdir()

    assert rounds(prepare, lambda: once(lambda tree: tree.put(new)), lambda: once(check_one)) > 20
