"""Accounts that can log in, groups with special rights, and the keys of all accounts."""

from __future__ import annotations

import base64
import dataclasses
import os
import struct
from typing import TYPE_CHECKING

import pytest

from portcullis.agent.claims import Claims
from portcullis.components.inventory.on_host import accounts, key_places
from portcullis.components.inventory.on_host.key_places import could_select
from portcullis.components.users.on_host import authorized_keys
from tests.components.inventory.looking import record

if TYPE_CHECKING:
    from portcullis.components.inventory.on_host.look import Found
    from tests.components.inventory.looking import Host

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq"
PRINT = "SHA256:OaMFymYAKG7lBO7SLWdSVPgVmNGQcgVkE2+RCbfS3VM"
ROOT_KEYS = "root/.ssh/authorized_keys"

# The accounts of a fresh Debian 13 with openssh-server and dbus.
PASSWD = """\
root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
sync:x:4:65534:sync:/bin:/bin/sync
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
systemd-network:x:998:998:systemd Network Management:/:/usr/sbin/nologin
sshd:x:995:65534:sshd user:/run/sshd:/usr/sbin/nologin
"""
SHADOW = """\
root:*:20784:0:99999:7:::
daemon:*:20784:0:99999:7:::
sync:*:20784:0:99999:7:::
www-data:*:20784:0:99999:7:::
nobody:*:20784:0:99999:7:::
systemd-network:!*:20784:::::1:
sshd:!*:20784::::::
"""
GROUP = """\
root:x:0:
adm:x:4:
disk:x:6:
sudo:x:27:
www-data:x:33:
shadow:x:42:
nogroup:x:65534:
"""


@pytest.fixture
def debian(host: Host) -> Host:
    host.write("etc/passwd", PASSWD)
    host.write("etc/shadow", SHADOW)
    host.write("etc/group", GROUP)
    host.write("etc/gshadow", "root:*::\nsudo:*::\nadm:!::\n")
    host.write("etc/ssh/sshd_config", "Include sshd_config.d/*.conf\nUsePAM yes\n")
    host.says["sshd -T"] = "port 22\nauthorizedkeysfile .ssh/authorized_keys .ssh/authorized_keys2\n"
    return host


def add(host: Host, file: str, line: str) -> None:
    with (host.root / "etc" / file).open("a") as stream:
        stream.write(f"{line}\n")


def everything(host: Host) -> Found:
    read = accounts.read(host.look())
    return {**read, "keys": {**read["keys"], **accounts.read_keys(host.look())["keys"]}}


def texts(host: Host, name: str = "accounts") -> dict[str, str]:
    return {key: entry.text for key, entry in everything(host)[name].items()}


def test_on_a_fresh_debian_only_root_can_log_in(debian: Host) -> None:
    assert texts(debian) == {"root": "uid 0, shell /bin/bash, no password"}
    assert texts(debian, "keys") == {}


def test_an_account_that_can_log_in(debian: Host) -> None:
    add(debian, "passwd", "mallory:x:1001:1001::/home/mallory:/bin/bash")
    add(debian, "shadow", "mallory:$y$j9T$secret:20784:0:99999:7:::")
    found = accounts.read(debian.look())["accounts"]["mallory"]
    assert found.text == "uid 1001, shell /bin/bash, a password"
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    ("passwd", "shadow", "text"),
    [
        ("x:x:0:0::/root:/bin/sh", "x:*:1", "is root by its number, uid 0, shell /bin/sh, no password"),
        ("x:x:33:33::/home/x:/bin/sh", "x:!:1", "uid 33, the same as www-data, shell /bin/sh, no password"),
        ("x:x:70:0::/home/x:/bin/sh", "x:*:1", "uid 70, of root's group, shell /bin/sh, no password"),
        ("x:x:70:70::/home/x:/sbin/nologin", "x::1", "uid 70, shell /sbin/nologin, an EMPTY password"),
        ("x:x:70:70::/srv/x:/bin/sh", "x:*:1", "uid 70, shell /bin/sh, no password, home /srv/x"),
        ("x:$6$a:70:70::/home/x:", "y:*:1", "uid 70, shell /bin/sh, a password"),
        (
            "x:x:70:70::/home/x:/bin/sh",
            "x:*:1:0:9:7::20784:",
            "uid 70, shell /bin/sh, no password, expires on 2026-11-27",
        ),
    ],
)
def test_the_text_of_an_account(debian: Host, passwd: str, shadow: str, text: str) -> None:
    add(debian, "passwd", passwd)
    add(debian, "shadow", shadow)
    assert texts(debian)["x"] == text


def test_a_new_or_changed_password_of_root_shows(debian: Host) -> None:
    debian.write("etc/shadow", SHADOW.replace("root:*", "root:$y$one"))
    first = accounts.read(debian.look())["accounts"]["root"]
    debian.write("etc/shadow", SHADOW.replace("root:*", "root:$y$two"))
    second = accounts.read(debian.look())["accounts"]["root"]
    assert first.text == second.text == "uid 0, shell /bin/bash, a password"
    assert first.mark != second.mark


def test_a_declared_account_shows_only_what_its_resource_does_not_read_back(debian: Host) -> None:
    add(debian, "passwd", "deploy:x:1000:1000::/home/deploy:/bin/bash")
    add(debian, "shadow", "deploy:$y$x:20784:0:99999:7:::")
    debian.claims.append(Claims(users=("deploy",)))
    debian.records.append(record("users.users", "deploy", keys={}, managed=["password"]))
    assert "deploy" not in texts(debian)
    debian.records[:] = [record("users.users", "deploy", keys={}, managed=[])]
    told = "uid 1000, shell /bin/bash, a password, declared with shell /bin/bash"
    assert texts(debian)["deploy"] == told


def test_a_declared_account_with_another_shell_number_or_group(debian: Host) -> None:
    debian.claims.append(Claims(users=("deploy", "root")))
    debian.records.append(record("users.users", "deploy", keys={}, managed=["password"]))
    for line, text in (
        ("1000:1000::/home/deploy:/bin/bash", None),
        ("1000:1000::/home/deploy:/tmp/evil", "uid 1000, shell /tmp/evil"),
        ("1000:0::/home/deploy:/bin/bash", "uid 1000, of root's group, shell /bin/bash"),
        ("0:0::/home/deploy:/bin/bash", "is root by its number, uid 0, shell /bin/bash"),
    ):
        debian.write("etc/passwd", f"{PASSWD}deploy:x:{line}\n")
        wanted = text and f"{text}, declared with shell /bin/bash"
        assert texts(debian).get("deploy") == wanted
    debian.write("etc/passwd", f"{PASSWD}deploy:x:1000:1000::/home/deploy:/bin/zsh\n")
    assert "deploy" in texts(debian)
    debian.records[:] = [record("users.users", "deploy", keys={}, managed=["password", "shell"])]
    assert "deploy" not in texts(debian), "the account's resource reads back the shell"
    kept = dataclasses.replace(debian.records[0], original={"shell": "/bin/zsh"}, spec={"managed": []})
    debian.records[:] = [kept]
    assert "deploy" not in texts(debian), "it came with the machine"


def test_root_shows_although_its_keys_are_declared(debian: Host) -> None:
    """Only root's keys are declared. All other facts about root are compared."""
    debian.claims.append(Claims(users=("root",)))
    debian.records.append(
        dataclasses.replace(
            record("users.users", "root", keys={}, managed=[]), original={"shell": "/bin/bash"}
        )
    )
    assert texts(debian) == {}
    debian.write("etc/shadow", SHADOW.replace("root:*", "root:$y$one"))
    assert texts(debian) == {"root": "uid 0, shell /bin/bash, a password"}
    debian.write("etc/shadow", SHADOW)
    debian.write("etc/passwd", PASSWD.replace("/root:/bin/bash", "/root:/tmp/evil"))
    assert texts(debian) == {"root": "uid 0, shell /tmp/evil, no password"}


def test_members_of_groups_with_special_rights(debian: Host) -> None:
    debian.write(
        "etc/group", GROUP.replace("adm:x:4:", "adm:x:4:www-data").replace("sudo:x:27:", "sudo:x:27:bob")
    )
    add(debian, "passwd", "eve:x:1002:42::/home/eve:/usr/sbin/nologin")
    told = texts(debian)
    assert told["group adm: www-data"] == "member, reads the system's logs"
    assert told["group sudo: bob"] == "member, becomes root by sudo"
    assert told["group shadow: eve"] == "member by its primary group, reads the hashes of all passwords"
    # If administrators are declared, their resource reports the groups with rights of root.
    debian.records.append(record("users.administrators", "users.administrators"))
    assert set(texts(debian)) == {"root", "group adm: www-data", "group shadow: eve"}


def test_a_second_root_is_reported_once(debian: Host) -> None:
    add(debian, "passwd", "toor:x:0:0::/root:/bin/sh")
    assert "toor" in texts(debian)
    debian.records.append(record("users.administrators", "users.administrators"))
    assert "toor" not in texts(debian)


def test_groups_that_a_users_resource_manages_are_left_out(debian: Host) -> None:
    debian.write("etc/group", GROUP.replace("adm:x:4:", "adm:x:4:deploy"))
    debian.records.append(record("users.users", "deploy", managed=["groups"]))
    assert "group adm: deploy" not in texts(debian)
    debian.records[:] = [record("users.users", "deploy", managed=["sudo"])]
    assert "group adm: deploy" in texts(debian)


def test_a_group_with_a_password(debian: Host) -> None:
    debian.write("etc/gshadow", "sudo:$6$hash::\nadm:!::\n")
    assert texts(debian)["group sudo"] == "has a password: whoever knows it becomes root by sudo"


def test_an_account_that_lingers(debian: Host) -> None:
    debian.write("var/lib/systemd/linger/www-data")
    found = accounts.read(debian.look())["accounts"]["linger www-data"]
    assert found.text == "its services start at boot, without a login"
    assert found.changed == (debian.root / "var/lib/systemd/linger/www-data").stat().st_ctime


# Keys -------------------------------------------------------------------------------------------------------


def test_roots_key(debian: Host) -> None:
    path = debian.write(ROOT_KEYS, f"# mine\n{KEY} evil@laptop\n")
    found = everything(debian)["keys"]
    (key,) = found
    assert key.startswith("root SHA256:")
    assert found[key].text == 'ssh-ed25519 …M9+VXcWFa8RL9CWq "evil@laptop", in /root/.ssh/authorized_keys'
    assert found[key].changed == path.stat().st_ctime


def test_a_key_of_an_account_without_a_shell(debian: Host) -> None:
    debian.write("var/www/.ssh/authorized_keys2", f"{KEY}\n")
    ((key, text),) = texts(debian, "keys").items()
    assert key.startswith("www-data SHA256:")
    assert text == "ssh-ed25519 …M9+VXcWFa8RL9CWq, in /var/www/.ssh/authorized_keys2"


def test_options_of_a_key_show_without_secret_values(debian: Host) -> None:
    options = 'cert-authority,from="203.0.113.7",command="curl -H \\"Token: hunter2\\" x",no-pty'
    debian.write(ROOT_KEYS, f"{options} {KEY}\n")
    (text,) = texts(debian, "keys").values()
    assert text == (
        "lets in every key that it signs, ssh-ed25519 …M9+VXcWFa8RL9CWq, cert-authority, "
        'from="203.0.113.7", command, no-pty, in /root/.ssh/authorized_keys'
    )


def _blob(*parts: bytes) -> str:
    return base64.b64encode(b"".join(struct.pack(">I", len(part)) + part for part in parts)).decode()


@pytest.mark.parametrize("application", [b"ssh:", b"ssh:work", b""])
def test_the_shown_characters_of_a_key_identify_it(application: bytes) -> None:
    """The command in the report deletes the line that contains these characters."""
    kinds = {
        b"ssh-ed25519": (32, ()),
        b"ssh-rsa": (257, ()),
        b"sk-ssh-ed25519@openssh.com": (32, (application,)),
        b"sk-ecdsa-sha2-nistp256@openssh.com": (65, (application,)),
    }
    for kind, (size, more) in kinds.items():
        tails = set()
        for number in range(3):
            blob = _blob(kind, bytes([number]) * size, *more)
            key = authorized_keys.parse(f"{kind.decode()} {blob} x")
            assert key is not None
            assert len(accounts.tail(key)) == 16
            assert accounts.tail(key) in blob
            tails.add(accounts.tail(key))
        assert len(tails) == 3, kind


def test_a_changed_command_changes_the_mark(debian: Host) -> None:
    marks = set()
    for command in ("one", "two"):
        debian.write(ROOT_KEYS, f'command="{command}" {KEY}\n')
        (entry,) = everything(debian)["keys"].values()
        marks.add(entry.mark)
    assert len(marks) == 2


def test_a_key_that_stands_twice_is_two_entries(debian: Host) -> None:
    debian.write(ROOT_KEYS, f"restrict {KEY}\n{KEY}\n")
    assert [key.partition(" (")[2] for key in texts(debian, "keys")] == ["", "2)"]


HOSTILE = {
    "options without an end": f"{'a' * 250_000} {KEY}\n",
    "quotes without an end": f'="""{"a-" * 100_000} {KEY}\n',
    "the same key": f"{KEY}\n" * 3_000,
    "short lines": "a\n" * 120_000 + f"{KEY}\n",
    "a long comment": f"{KEY} {'x' * 250_000}\n",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.timeout(60)
def test_no_key_file_stops_the_reader(debian: Host, text: str) -> None:
    """With a quadratic pattern, 20 KB of options took 11 s, and the whole file over three minutes."""
    debian.write(ROOT_KEYS, text)
    assert len(texts(debian, "keys")) <= authorized_keys.MOST + 1


def test_what_is_not_read_of_a_key_file_is_told(debian: Host) -> None:
    debian.write(ROOT_KEYS, f"{KEY}\n" * (authorized_keys.MOST + 3))
    found = texts(debian, "keys")
    assert len(found) == authorized_keys.MOST + 1
    assert found["root /root/.ssh/authorized_keys"] == "3 more keys are not shown"
    debian.write(ROOT_KEYS, "#" * authorized_keys.LIMIT + f"\n{KEY}\n")
    assert texts(debian, "keys") == {
        "root /root/.ssh/authorized_keys": "keys after the first 256 KB are not read"
    }


def test_keys_of_declared_users_are_left_out(debian: Host) -> None:
    debian.write(ROOT_KEYS, f"{KEY}\n")
    debian.records.append(record("users.users", "root", keys={}, managed=[]))
    assert texts(debian, "keys") == {}


def test_a_link_to_a_key_file_is_followed_and_a_pipe_does_not_block(debian: Host) -> None:
    debian.write("srv/keys", f"{KEY}\n")
    (debian.root / "root/.ssh").mkdir(parents=True)
    debian.link(ROOT_KEYS, str(debian.root / "srv/keys"))
    os.mkfifo(debian.root / "root/.ssh/authorized_keys2")
    (text,) = texts(debian, "keys").values()
    assert text == "ssh-ed25519 …M9+VXcWFa8RL9CWq, in /root/.ssh/authorized_keys"


def test_a_file_without_keys_has_no_entries(debian: Host) -> None:
    debian.write(ROOT_KEYS, "root:$y$secret:20784\nsecret\n")
    assert texts(debian, "keys") == {}


# Where sshd looks -------------------------------------------------------------------------------------------


def test_sshd_runs_once_until_one_of_its_files_changes(debian: Host) -> None:
    (debian.root / "var/lib/portcullis/inventory").mkdir(parents=True)
    debian.says["sshd -T"] = "authorizedkeysfile /etc/ssh/keys/%u .ssh/%h/%%x\n"
    debian.write("etc/ssh/keys/root", f"{KEY}\n")
    for _ in range(3):
        assert list(texts(debian, "keys").values()) == [
            "ssh-ed25519 …M9+VXcWFa8RL9CWq, in /etc/ssh/keys/root"
        ]
    assert len(debian.calls) == 1
    cache = debian.root / "var/lib/portcullis/inventory/sshd.json"
    assert cache.stat().st_mode & 0o777 == 0o600
    debian.says["sshd -T"] = "authorizedkeysfile none\n"
    debian.write("etc/ssh/sshd_config.d/50-cloud.conf", "PasswordAuthentication no\n")
    assert texts(debian, "keys") == {}
    assert len(debian.calls) == 2


def test_on_a_host_without_records_no_cache_is_written(debian: Host) -> None:
    key_places.places(debian.machine)
    assert not (debian.root / "var").exists()


def test_without_sshd_its_files_name_the_key_files(debian: Host) -> None:
    debian.says.clear()
    debian.write(
        "etc/ssh/sshd_config", "AuthorizedKeysFile /etc/keys/%u\nMatch User x\nAuthorizedKeysFile no\n"
    )
    assert key_places.places(debian.machine).words == ("/etc/keys/%u",)
    debian.write("etc/ssh/sshd_config", "")
    assert key_places.places(debian.machine).words == (".ssh/authorized_keys", ".ssh/authorized_keys2")


def test_a_read_only_session_writes_no_cache(debian: Host) -> None:
    folder = debian.root / "var/lib/portcullis/inventory"
    folder.mkdir(parents=True)
    looking = debian.look(machine=dataclasses.replace(debian.machine, read_only=True))
    accounts.read(looking)
    assert list(folder.iterdir()) == []
    accounts.read(debian.look())
    assert [path.name for path in folder.iterdir()] == ["sshd.json"]


def test_a_match_block_adds_files_for_the_accounts_that_it_selects(debian: Host) -> None:
    debian.write("etc/ssh/sshd_config", "Match User www-data\n  AuthorizedKeysFile /srv/web-keys\n")
    debian.write("srv/web-keys", f"{KEY}\n")
    ((key, text),) = texts(debian, "keys").items()
    assert key.startswith("www-data ")
    assert text == "ssh-ed25519 …M9+VXcWFa8RL9CWq, in /srv/web-keys"
    assert "/srv/web-keys" in accounts.key_files(debian.look())


@pytest.mark.parametrize(
    ("criteria", "selects"),
    [
        ("all", True),
        ("User deploy", True),
        ("User root,dep*", True),
        ("User !deploy,*", False),
        ("User root", False),
        ("Group adm", True),
        ("Group sudo", False),
        ("Address 10.0.0.0/8", True),
        ("User root Address 10.0.0.0/8", False),
        ("user=deploy", True),
    ],
)
def test_which_accounts_a_match_block_selects(criteria: str, *, selects: bool) -> None:
    assert could_select(criteria, "deploy", ["deploy", "adm"]) is selects


def test_an_unreadable_key_file_is_an_entry(debian: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    debian.write(ROOT_KEYS, f"{KEY}\n")

    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    look = debian.look()
    known = accounts.accounts.read(look.machine)
    assert look.key_places
    monkeypatch.setattr(accounts.os, "open", refuse)
    told = accounts._keys(look, known, known.accounts.values())
    assert told["root /root/.ssh/authorized_keys"].text == "cannot be read: Permission denied"
    assert dataclasses.is_dataclass(look)
