"""Undeclared files in nginx's folder. The folder is a fake with the files of Debian's package."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.agent.root_folders import RootFolders
from portcullis.agent.run import Done
from portcullis.components.nginx.on_host import nginx_config, nginx_undeclared
from portcullis.host.undeclared import remedy
from tests.on_host import Client, FileClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from portcullis.agent.machine import Machine

UNIT = "nginx.service"
MAIN = """
user www-data;
include /etc/nginx/modules-enabled/*.conf;
events { worker_connections 768; }
http {
    # include /etc/nginx/commented/*.conf;
    include /etc/nginx/mime.types;
    include conf.d/*.conf;
    include "/etc/nginx/sites-enabled/*";
}
"""
EVIL = "server { listen 80; listen [::]:80; server_name evil.com *.evil.com; }\n"


class Etc:
    """A host with nginx's files as the package leaves them, and with one site of ours."""

    def __init__(self, machine: Machine, root: Path) -> None:
        self.root = root / "etc"
        self.folder = self.root / "nginx"
        self.machine = dataclasses.replace(machine, etc=self.root, run=self.run)
        self.sums: dict[Path, str] = {}
        self.refusal = ""
        for name in ("conf.d", "sites-available", "sites-enabled", "modules-enabled"):
            (self.folder / name).mkdir(parents=True)
        self.ship("nginx.conf", MAIN.replace("/etc/nginx", str(self.folder)))
        self.ship("mime.types", "types { text/html html; }\n")
        self.ship("sites-available/default", "server { listen 80 default_server; }\n")
        (self.folder / "sites-enabled/default").symlink_to(self.folder / "sites-available/default")
        modules = self.folder / "modules-enabled/50-mod-http-brotli.conf"
        modules.symlink_to("/usr/share/nginx/modules-available/mod-http-brotli.conf")
        self.client = Client(self.machine)
        FileClient(self.client, self.path("conf.d/portcullis-a.conf")).put("server { server_name a; }\n")

    def run(self, argv: Any, **_: Any) -> Done:
        if argv[0] == "nginx":
            return Done(1, "", f"nginx: [emerg] {self.refusal}\n") if self.refusal else Done(0, "", "")
        return Done(0, f"Id={UNIT}\nLoadState=loaded\nActiveState=inactive\nUnitFileState=enabled\n", "")

    def path(self, name: str) -> Path:
        return self.folder / name

    def write(self, name: str, text: str, mode: int = 0o644) -> str:
        path = self.path(name)
        path.write_text(text)
        path.chmod(mode)
        return str(path)

    def ship(self, name: str, text: str) -> None:
        self.write(name, text)
        self.sums[self.folder / name] = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
        lines = "".join(f" {known} {digest}\n" for known, digest in self.sums.items())
        (self.machine.dpkg / "status").write_text(f"Package: nginx-common\nConffiles:\n{lines}Version: 1\n")

    def desired(self, **accepted: str) -> dict[str, Any]:
        return {"unit": UNIT, "sites": {}, "probes": {}, "reads": {}, "accepted": accepted}

    def facts(self, *accepted: str) -> dict[str, Any]:
        spec = {"unit": UNIT, "reads": [], "probes": {}, "accepted": list(accepted)}
        return self.client.look("nginx.served_sites", UNIT, spec)

    def put(self, **accepted: str) -> None:
        self.client.again().on("put", "nginx.served_sites", UNIT, self.desired(**accepted))

    def remedy(self, path: str) -> str:
        _, *fix = self.facts()["fixes"][path]
        return remedy(path, fix, "true")

    def undeclared(self, *accepted: str) -> dict[str, str]:
        found: dict[str, str] = self.facts(*accepted)["undeclared"]
        return found


@pytest.fixture
def etc(machine: Machine, tmp_path: Path) -> Iterator[Etc]:
    made = Etc(machine, tmp_path)
    yield made
    made.client.close()


def test_packaged_and_declared_files_are_not_reported(etc: Etc) -> None:
    assert etc.undeclared() == {}


def test_an_undeclared_virtual_host_is_reported_with_its_names(etc: Etc) -> None:
    path = etc.write("conf.d/evil.conf", EVIL)
    assert etc.undeclared() == {
        path: "nobody declared it; nginx loads it: serves evil.com, *.evil.com on 80, [::]:80"
    }


def test_a_virtual_host_behind_a_link_is_reported_too(etc: Etc, tmp_path: Path) -> None:
    (tmp_path / "evil.conf").write_text(EVIL)
    etc.path("sites-enabled/evil").symlink_to(tmp_path / "evil.conf")
    found = etc.undeclared()
    assert found == {
        str(etc.path("sites-enabled/evil")): f'a link to "{tmp_path}/evil.conf"; '
        "nginx loads it: serves evil.com, *.evil.com on 80, [::]:80"
    }


def test_a_file_that_nginx_does_not_load_is_reported_as_such(etc: Etc) -> None:
    path = etc.write("sites-available/later", EVIL)
    assert etc.undeclared() == {path: "nobody declared it; nginx does not load it"}


def test_a_file_that_is_included_from_elsewhere_is_reported(etc: Etc, tmp_path: Path) -> None:
    (tmp_path / "far.conf").write_text(EVIL)
    etc.write("nginx.conf", etc.path("nginx.conf").read_text() + f"include {tmp_path}/far.conf;\n")
    found = etc.undeclared()
    assert found[str(etc.path("nginx.conf"))] == "changed by hand: not as nginx-common brings it"
    assert found[str(tmp_path / "far.conf")].endswith("serves evil.com, *.evil.com on 80, [::]:80")


def test_a_server_in_a_packaged_file_is_named(etc: Etc) -> None:
    path = etc.write("mime.types", EVIL)
    assert etc.undeclared()[path].endswith("nginx loads it: serves evil.com, *.evil.com on 80, [::]:80")


def test_a_mode_that_lets_others_write_is_reported_even_for_packaged_content(etc: Etc) -> None:
    etc.path("nginx.conf").chmod(0o777)
    etc.path("conf.d").chmod(0o777)
    assert etc.undeclared() == {
        str(etc.path("nginx.conf")): "mode 0777, where 0644 is usual",
        str(etc.path("conf.d")): "mode 0777, where 0755 is usual",
    }


def test_a_packaged_file_that_is_gone_is_reported(etc: Etc) -> None:
    etc.path("mime.types").unlink()
    assert etc.undeclared() == {str(etc.path("mime.types")): "gone; nginx-common brings it"}


def test_a_folder_in_place_of_a_packaged_file_is_reported(etc: Etc) -> None:
    etc.path("mime.types").unlink()
    etc.path("mime.types").mkdir()
    assert etc.undeclared() == {str(etc.path("mime.types")): "a directory, where nginx-common brings a file"}


def _link(etc: Etc, name: str) -> None:
    etc.path(name).unlink()
    etc.path(name).symlink_to("/dev/null")


def _folder(etc: Etc, name: str) -> None:
    etc.path(name).unlink()
    etc.path(name).mkdir()


DEEDS: dict[str, Callable[[Etc], object]] = {
    "a virtual host": lambda etc: etc.write("conf.d/evil.conf", EVIL),
    "a file that only root reads": lambda etc: etc.write("conf.d/evil.conf", EVIL, 0o600),
    "a name with a space": lambda etc: etc.write("conf.d/e'vil $x.conf", EVIL, 0o777),
    "a link": lambda etc: etc.path("sites-enabled/evil").symlink_to("/dev/null"),
    "a link to no module": lambda etc: etc.path("modules-enabled/evil.conf").symlink_to("/dev/null"),
    "a changed file": lambda etc: etc.write("mime.types", EVIL, 0o666),
    "a mode": lambda etc: etc.path("nginx.conf").chmod(0o777),
    "an owner": lambda etc: os.chown(etc.path("nginx.conf"), 1, 1),
    "a mode of a folder": lambda etc: etc.path("conf.d").chmod(0o777),
    "a file that is gone": lambda etc: etc.path("nginx.conf").unlink(),
    "a link in place of a file": lambda etc: _link(etc, "nginx.conf"),
    "a folder in place of a file": lambda etc: _folder(etc, "nginx.conf"),
}


@pytest.mark.parametrize("deed", DEEDS)
def test_the_command_in_the_line_ends_the_difference(
    etc: Etc, tmp_path: Path, deed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs, package = tmp_path / "bin", tmp_path / "package"
    programs.mkdir()
    for path in etc.sums:
        (package / str(path)[1:]).parent.mkdir(parents=True, exist_ok=True)
        (package / str(path)[1:]).write_bytes(path.read_bytes())
    does = {
        "apt-get": 'test "$*" = "download nginx-common" && touch nginx-common_1_all.deb',
        "dpkg-deb": f'test "$*" = "--fsys-tarfile nginx-common_1_all.deb" && tar -cC {package} .',
    }
    for name, script in does.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    DEEDS[deed](etc)
    monkeypatch.setattr(RootFolders, "hold", lambda *_: True)  # /tmp is everybody's
    (path,) = etc.undeclared()
    _, _, command = etc.remedy(path).partition("yourself: ")
    ran = subprocess.run(
        ["sh", "-c", f"umask 022; {command}"],
        env={"PATH": f"{programs}:/usr/bin:/bin", "TMPDIR": str(tmp_path)},
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert ran.returncode == 0, f"{command}: {ran.stderr}"
    assert etc.undeclared() == {}, command


def test_names_in_a_file_that_only_root_may_read_are_not_reported(etc: Etc) -> None:
    path = etc.write("conf.d/evil.conf", EVIL, 0o600)
    assert "evil.com" not in etc.undeclared()[path].replace(path, "")


def test_a_file_from_before_the_first_up_is_reported_only_after_a_change(etc: Etc) -> None:
    path = etc.write("conf.d/old.conf", EVIL)
    etc.client.on("put", "nginx.served_sites", UNIT, etc.desired())
    assert etc.undeclared() == {}
    etc.write("conf.d/old.conf", EVIL.replace("evil.com", "worse.com"))
    assert etc.undeclared()[path].startswith("came with the machine, and was changed; nobody declared it")
    etc.path("conf.d/old.conf").unlink()
    assert etc.undeclared() == {path: "came with the machine, and is gone"}
    etc.put(**{path: "it went"})
    assert etc.undeclared(path) == {}, "it is accepted"


def test_a_packaged_file_that_was_missing_before_the_first_up_is_not_reported_when_its_package_goes(
    etc: Etc,
) -> None:
    etc.path("mime.types").unlink()
    etc.client.on("put", "nginx.served_sites", UNIT, etc.desired())
    assert etc.undeclared() == {}
    status = etc.machine.dpkg / "status"
    status.write_text("\n".join(line for line in status.read_text().splitlines() if "mime" not in line))
    assert etc.undeclared() == {}


def test_a_file_name_that_cannot_be_shown_has_no_command(etc: Etc) -> None:
    etc.write("conf.d/e\nvil.conf", EVIL)
    (path,) = etc.undeclared()
    assert path.endswith("e?vil.conf")
    assert etc.remedy(path) == "stays"


def test_a_folder_that_others_write_to_gives_no_command(etc: Etc) -> None:
    path = etc.write("conf.d/evil.conf", EVIL)
    assert etc.remedy(path) == "stays; other users can write to a folder above it, so no command is safe"


def test_an_accepted_file_is_not_reported(etc: Etc) -> None:
    path = etc.write("conf.d/evil.conf", EVIL)
    assert etc.undeclared(path) == {}


WORSE = EVIL.replace("evil.com", "worse.com")


@pytest.mark.parametrize(
    ("text", "mode", "uid"), [(WORSE, 0o644, 0), (EVIL, 0o666, 0), (EVIL, 0o644, 1), ("link", 0o644, 0)]
)
def test_an_accepted_file_is_reported_once_it_changes(etc: Etc, text: str, mode: int, uid: int) -> None:
    etc.put()
    path = etc.write("conf.d/mine.conf", EVIL)
    etc.put(**{path: "mine"})
    assert etc.undeclared(path) == {}
    if text == "link":
        (etc.root / "elsewhere").write_text(EVIL)
        etc.path("conf.d/mine.conf").unlink()
        etc.path("conf.d/mine.conf").symlink_to(etc.root / "elsewhere")
    else:
        etc.write("conf.d/mine.conf", text, mode)
        os.chown(path, uid, 0)
    assert etc.undeclared(path)[path].startswith("changed since it was accepted; ")
    assert remedy(path, etc.facts(path)["fixes"][path][1:], "true") == "stays", "no command removes it"
    etc.put(**{path: "mine"})
    assert etc.undeclared(path), "only a new reason accepts it as it is now"
    etc.put(**{path: "mine, and I changed it"})
    assert etc.undeclared(path) == {}


def test_a_file_that_takes_the_place_of_an_accepted_path_is_reported(etc: Etc) -> None:
    path = str(etc.path("conf.d/mine.conf"))
    etc.put(**{path: "mine"})
    etc.write("conf.d/mine.conf", EVIL)
    assert etc.undeclared(path)[path].startswith("changed since it was accepted; ")


def test_a_file_that_an_earlier_version_accepted_by_its_path_is_recorded_by_the_next_up(etc: Etc) -> None:
    etc.put()
    path = etc.write("conf.d/mine.conf", EVIL)
    etc.put(**{path: "mine"})
    (name,) = [
        file
        for file in etc.machine.state.glob("items/*/record.json")
        if json.loads(file.read_text())["kind"] == "nginx.served_sites"
    ]
    record = json.loads(name.read_text())
    del record["extra"]["accepted"]
    name.write_text(json.dumps(record))
    text = etc.undeclared(path)[path]
    assert text.startswith("is accepted by its path alone; nobody declared it; nginx loads it"), text
    found = remedy(path, etc.facts(path)["fixes"][path][1:], "true")
    assert found == "stays; the next `up` records it as it is"
    etc.put(**{path: "mine"})
    assert etc.undeclared(path) == {}


def test_an_undeclared_file_does_not_stop_an_up_and_only_warns(etc: Etc) -> None:
    etc.client.on("put", "nginx.served_sites", UNIT, etc.desired())
    path = etc.write("conf.d/evil.conf", EVIL)
    first = etc.facts()["revision"]
    done = etc.client.again().on("put", "nginx.served_sites", UNIT, etc.desired())
    (step,) = done["steps"]
    assert (step["property"], step["action"]) == (f'undeclared["{path}"]', "warn")
    assert done["facts"]["undeclared"]
    assert done["facts"]["revision"] == first, "nothing was written"
    assert etc.path("conf.d/evil.conf").exists()


def test_the_message_of_a_refused_configuration_is_cut_for_the_preview_key(etc: Etc) -> None:
    etc.refusal = f'unknown directive "hunter2" in {etc.folder}/conf.d/x.conf:3'
    assert etc.facts()["broken"] == etc.refusal
    assert nginx_undeclared.place_only(etc.refusal) == (
        f"nginx refuses its configuration in {etc.folder}/conf.d/x.conf:3"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a b; # c d;\ne;", [["a", "b"], ["e"]]),
        ("a 'x; y' \"{ z\" { b ${c}d; }", [["a", "x; y", "{ z"], ["b", "${c}d"]]),
        ("a \\; b;", [["a", "\\;", "b"]]),
        ("a", []),
    ],
)
def test_directives(text: str, words: list[list[str]]) -> None:
    assert list(nginx_config.directives(text)) == words


def test_files_that_include_each_other_are_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text("include b.conf;")
    (tmp_path / "b.conf").write_text("include a.conf;")
    assert list(nginx_config.loaded(tmp_path / "a.conf")) == [
        str(tmp_path / "a.conf"),
        str(tmp_path / "b.conf"),
    ]


def test_a_pipe_among_the_included_files_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text("include *.pipe;\n")
    os.mkfifo(tmp_path / "b.pipe")
    # A plain open would wait for the writer, until the test's own limit.
    assert list(nginx_config.loaded(tmp_path / "a.conf")) == [str(tmp_path / "a.conf")]
