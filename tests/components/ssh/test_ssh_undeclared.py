"""The report of undeclared files that sshd reads."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from portcullis.components.ssh.on_host import ssh_undeclared, sshd_config
from tests.components.ssh.test_ssh_servers import OPTIONS, Server, make_server, server

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["make_server", "server"]


@pytest.fixture(autouse=True)
def _shipped(server: Server) -> None:
    """Tell ucf the hash of the main file, so that the file counts as shipped."""
    ship(server, server.host.main)


@pytest.fixture
def deployed(server: Server) -> Server:
    server.put()
    return server


def ship(server: Server, path: Path) -> None:
    digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    server.client.machine.ucf.write_text(f"{digest}  {path}\n")


def told(server: Server) -> dict[str, str]:
    found: dict[str, str] = server.facts()["undeclared"]
    return {name.rpartition("/")[2]: text for name, text in found.items()}


def write(server: Server, name: str, text: str, mode: int = 0o644) -> Path:
    path = server.host.drop_in(name)
    path.write_text(text)
    path.chmod(mode)
    return path


def test_the_shipped_file_and_our_drop_in_are_not_shown(deployed: Server) -> None:
    assert told(deployed) == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Match User bob\n  X11Forwarding yes\n", "sets x11forwarding yes for Match User bob"),
        ("AllowTcpForwarding yes\nAcceptEnv LD_*\n", "sets allowtcpforwarding yes, acceptenv LD_*"),
        ("MaxAuthTries 99\n", "without effect"),
        ("# nothing\n", "without effect"),
    ],
)
def test_an_undeclared_drop_in_is_shown_with_the_options_that_take_effect(
    deployed: Server, text: str, said: str
) -> None:
    write(deployed, "99-evil.conf", text)
    assert told(deployed) == {"99-evil.conf": f"nobody declared it; {said}"}
    deployed.put()  # sshd has not read the file yet, so this step reloads sshd
    done = deployed.put()
    assert [step["action"] for step in done["steps"]] == ["warn"]
    assert deployed.host.calls == [], "nothing is written, and sshd is not reloaded"


def test_the_shipped_file_is_shown_after_a_change_by_hand(deployed: Server) -> None:
    with deployed.host.main.open("a") as file:
        file.write("# a line by hand\n")
    (text,) = told(deployed).values()
    assert text.startswith("changed by hand: not as its package brings it; ")


@pytest.mark.parametrize("pattern", ["a\0b/*.conf", "a\0b.conf"])
def test_an_include_with_a_zero_byte_names_no_file(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "sshd_config").write_text(f"Include {pattern}\nPort 22\n")
    assert [line.keyword for line in sshd_config.read_lines(tmp_path / "sshd_config")] == ["include", "port"]


def lines(text: str, file: str, match: str = "") -> list[sshd_config.Line]:
    words = [line.split() for line in text.splitlines()]
    return [sshd_config.Line(file, 1, first, tuple(rest), match) for first, *rest in words]


def test_only_an_earlier_match_block_changes_options_of_our_last_block() -> None:
    ours = [*lines("passwordauthentication no", "ours"), *lines("passwordauthentication no", "ours", "all")]
    before = lines("passwordauthentication yes", "before")
    exception = lines("passwordauthentication yes", "before", "User bob")
    after = lines("passwordauthentication yes", "after", "User bob")
    found = ssh_undeclared._in_effect([*before, *exception, *ours, *after], "ours")
    assert found == exception


def test_values_from_a_file_that_only_root_may_read_are_not_shown(deployed: Server) -> None:
    write(deployed, "99-evil.conf", "Match User bob\n  ForceCommand secret\n", 0o600)
    assert told(deployed) == {"99-evil.conf": "nobody declared it; sets forcecommand"}


def test_the_error_names_a_change_by_hand_before_sshds_message(deployed: Server) -> None:
    path = write(deployed, "99-evil.conf", "Broken yes\n")
    error = deployed.refused(options={**OPTIONS, "MaxAuthTries": "2"})
    assert error.message.startswith(f"{path} was changed by hand, and sshd refuses its")
    assert f"{path}:1" in error.detail


def test_sshd_does_not_read_a_file_with_another_suffix(deployed: Server) -> None:
    write(deployed, "evil.txt", "Port 99\n")
    assert told(deployed) == {"evil.txt": "nobody declared it; sshd does not read it"}


def test_a_line_that_wins_over_a_declared_option_is_shown_once(deployed: Server) -> None:
    write(deployed, "00-evil.conf", "MaxAuthTries 99\n")
    facts = deployed.facts()
    assert "00-evil.conf:1" in facts["options"]["MaxAuthTries"]
    assert facts["undeclared"] == {}
    deployed.put(adopt=True)
    assert deployed.facts()["undeclared"] == {}, "we turned its line into a comment"


def test_the_shipped_file_with_an_added_line_is_shown(deployed: Server) -> None:
    deployed.host.main.write_text(deployed.host.main.read_text() + "Match User bob\n  PermitTTY yes\n")
    (text,) = told(deployed).values()
    assert text == (
        "changed by hand: not as its package brings it;"
        " sets x11forwarding yes, permittty yes for Match User bob"
    )


def test_a_file_that_the_main_file_includes_is_shown(deployed: Server, tmp_path: Path) -> None:
    far = tmp_path / "far.conf"
    far.write_text("PermitTunnel yes\n")
    deployed.host.main.write_text(deployed.host.main.read_text() + f"Include {far}\n")
    ship(deployed, deployed.host.main)
    assert told(deployed) == {"far.conf": "nobody declared it; sets permittunnel yes"}


def test_a_missing_shipped_file_is_shown(deployed: Server) -> None:
    deployed.host.main.unlink()
    assert told(deployed) == {"sshd_config": "gone; its package brings it; sshd does not start without it"}


def test_a_file_that_others_may_write_is_shown(deployed: Server) -> None:
    deployed.host.main.chmod(0o666)
    (text,) = told(deployed).values()
    assert text.startswith("mode 0666, where 0644 is usual")


def test_a_file_from_before_the_first_up_is_not_shown(server: Server) -> None:
    write(server, "50-cloud-init.conf", "PermitTTY yes\n", 0o600)
    assert told(server)
    server.put()
    assert told(server) == {}
    write(server, "50-cloud-init.conf", "PermitTTY no\n", 0o600)
    assert told(server)


def test_an_accepted_file_is_not_shown(deployed: Server) -> None:
    path = write(deployed, "99-more.conf", "PermitTTY yes\n")
    wanted = {**deployed.desired(options=OPTIONS), "accepted": [str(path)]}
    assert deployed.client.look("ssh.ssh_servers", "sshd", wanted)["undeclared"] == {}


def test_an_accepted_file_is_shown_once_it_changes(deployed: Server) -> None:
    path = write(deployed, "99-more.conf", "PermitTTY yes\n")
    deployed.put(accepted={str(path): "ours"})
    wanted = {**deployed.desired(options=OPTIONS), "accepted": [str(path)]}
    assert deployed.client.look("ssh.ssh_servers", "sshd", wanted)["undeclared"] == {}
    path.chmod(0o666)
    (text,) = deployed.client.look("ssh.ssh_servers", "sshd", wanted)["undeclared"].values()
    assert text.startswith("changed since it was accepted; ")
