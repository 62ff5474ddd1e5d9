"""Undeclared files in fail2ban's folder."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from portcullis.agent.errors import AgentError
from tests.components.fail2ban.test_jails import OPTIONS, Jail, jail, machine

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["jail", "machine"]


class Whole:
    """A client for the jail sshd that reports undeclared files in fail2ban's folder."""

    def __init__(self, jail: Jail) -> None:
        self.jail = jail
        self.folder = jail.server.folder
        ours = self.folder / "jail.d" / "zz-portcullis.conf"
        self.shipped = [path for path in self.folder.rglob("*") if path.is_file() and path != ours]
        ours.unlink()
        self.filter = self.write("filter.d/sshd.conf", "[Definition]\nfailregex = x\n")
        self.shipped.append(self.filter)
        self.ship()

    def ship(self) -> None:
        lines = [
            f" {path} {hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}\n"
            for path in self.shipped
        ]
        status = self.jail.client.machine.dpkg / "status"
        status.write_text(f"Package: fail2ban\nConffiles:\n{''.join(lines)}Version: 1\n")

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    def facts(self, *accepted: str) -> dict[str, object]:
        spec = {"jail": "sshd", "options": OPTIONS, "whole": True, "accepted": list(accepted)}
        facts = self.jail.client.look("fail2ban.jails", "sshd", spec)
        facts["undeclared"].pop(str(self.jail.server.log), None)  # only the fake server logs into this folder
        return facts

    def told(self, *accepted: str) -> object:
        return self.facts(*accepted)["undeclared"]

    def put(self, **accepted: str) -> list[str]:
        desired = {**self.jail.desired(), "whole": True, "accepted": accepted}
        done = self.jail.client.on("put", "fail2ban.jails", "sshd", desired)
        return [step["property"] for step in done["steps"]]


@pytest.fixture
def whole(jail: Jail) -> Whole:
    return Whole(jail)


def test_packaged_and_declared_files_are_not_reported(whole: Whole) -> None:
    assert whole.told() == {}
    whole.put()
    assert whole.jail.path.exists()
    assert whole.told() == {}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("jail.d/evil.conf", "[evil]\nenabled = true\n", "sets [evil]"),
        ("jail.local", "[DEFAULT]\nbantime = 1\n[sshd]\nmaxretry = 99\n", "sets [DEFAULT], [sshd]"),
        ("jail.d/zz-portcullis-none.local", "[none]\nenabled = true\n", "sets [none]"),
        ("filter.d/sshd.local", "[Definition]\nfailregex =\n", "the filter sshd"),
        ("action.d/evil.conf", "[Definition]\nactionban = sh\n", "the action evil, whose commands root runs"),
        ("fail2ban.d/x.local", "[Definition]\nloglevel = CRITICAL\n", "settings of the server"),
        ("jail.d/note.txt", "remember\n", "fail2ban does not read it"),
    ],
)
def test_an_undeclared_file_is_reported_with_what_it_does(
    whole: Whole, name: str, text: str, said: str
) -> None:
    whole.put()
    path = whole.write(name, text)
    assert whole.told() == {str(path): f"nobody declared it; {said}"}
    assert whole.told(str(path)) == {}
    assert f'undeclared["{path}"]' in whole.put()
    assert path.read_text() == text, "it stays"


def test_an_accepted_file_is_reported_once_it_changes(whole: Whole) -> None:
    whole.put()
    path = whole.write("jail.d/mine.conf", "[mine]\nenabled = true\n")
    whole.put(**{str(path): "ours"})
    assert whole.told(str(path)) == {}
    whole.write("jail.d/mine.conf", "[sshd]\nmaxretry = 99\n")
    assert whole.told(str(path)) == {
        str(path): "changed since it was accepted; nobody declared it; sets [sshd]"
    }


def test_a_changed_filter_is_reported(whole: Whole) -> None:
    whole.put()
    whole.write("filter.d/sshd.conf", "[Definition]\nfailregex =\n")
    assert whole.told() == {str(whole.filter): "changed by hand: not as fail2ban brings it"}


def test_a_file_that_the_declared_jail_comments_out_is_reported_once(whole: Whole) -> None:
    whole.put()
    whole.write("jail.d/zzz.local", "[sshd]\nmaxretry = 99\n")
    facts = whole.facts()
    assert facts["overridden"]
    assert facts["undeclared"] == {}
    whole.put()
    assert whole.facts()["overridden"] == {}
    assert whole.told() == {}, "the rest of the file sets nothing"


def test_a_file_from_before_the_first_deploy_is_not_reported(whole: Whole) -> None:
    whole.write("jail.d/evil.conf", "[evil]\nenabled = true\n")
    assert whole.told()
    whole.put()
    assert whole.told() == {}


def test_a_refused_configuration_is_reported_with_fail2bans_own_line(whole: Whole) -> None:
    whole.put()
    assert whole.facts()["broken"] == ""
    whole.write("jail.d/evil.conf", "[evil]\nenabled = true\n")
    whole.jail.server.broken = "evil"
    assert whole.facts()["broken"] == "ERROR Unable to read the filter"


def test_a_reload_that_fails_after_a_change_by_hand_names_that_change_first(whole: Whole) -> None:
    whole.put()
    path = whole.write("jail.d/evil.conf", "[evil]\nenabled = true\n")
    whole.jail.server.broken = "evil"
    desired = {**whole.jail.desired(maxretry="4"), "whole": True}
    with pytest.raises(AgentError) as caught:
        whole.jail.client.on("put", "fail2ban.jails", "sshd", desired)
    assert caught.value.message.startswith(str(path))
    assert "changed by hand, and fail2ban-client -t refuses the jail" in caught.value.message
    assert "Unable to read the filter" in caught.value.detail


def test_a_jail_without_whole_reports_no_other_file(jail: Jail) -> None:
    jail.drop_in("evil.conf", "[evil]\nenabled = true\n")
    assert jail.facts()["undeclared"] == {}


def test_a_file_that_sets_nothing_is_reported_too(whole: Whole) -> None:
    whole.put()
    whole.write("jail.local", "[DEFAULT]\n")
    assert whole.told() == {str(whole.folder / "jail.local"): "nobody declared it; without effect"}
