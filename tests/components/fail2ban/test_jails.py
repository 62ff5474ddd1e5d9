from __future__ import annotations

import dataclasses
import hashlib
import ipaddress
import pickle
import shutil
import sqlite3
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.agent.errors import AgentError
from portcullis.agent.guarded import Peer
from portcullis.agent.store import Store
from portcullis.components.fail2ban.facts import JailFacts, JailSpec
from portcullis.components.fail2ban.on_host import bans
from portcullis.components.fail2ban.on_host import jails as jails_module
from portcullis.components.fail2ban.on_host.fail2ban import Server
from tests.components.fail2ban.fake_fail2ban import END, FakeFail2ban, listing
from tests.on_host import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from portcullis.agent.machine import Machine

PEER = Peer(ipaddress.ip_address("192.0.2.9"), 4, ipaddress.ip_address("192.0.2.1"), 22)
OPTIONS = {
    "maxretry": "3",
    "bantime": "604800",
    "bantime.increment": "true",
    "filter": "sshd[mode=aggressive]",
}
NEVER = {"127.0.0.0/8": "never banned", "::1": "never banned"}


@dataclass
class Jail:
    """A client that manages the jail sshd."""

    client: Client
    server: FakeFail2ban

    @property
    def path(self) -> Path:
        return self.server.folder / "jail.d" / "zz-portcullis-sshd.local"

    def drop_in(self, name: str, text: str) -> Path:
        path = self.server.folder / "jail.d" / name
        path.write_text(text)
        return path

    def desired(self, jail: str = "sshd", *, enabled: bool = True, **options: str) -> dict[str, Any]:
        wanted = {**OPTIONS, **options}
        lines = [f"{name} = {value}" for name, value in wanted.items()]
        lines += [f"ignoreip = {' '.join(NEVER)}", ""]
        text = "\n".join([f"[{jail}]", f"enabled = {str(enabled).lower()}", *lines])
        return {
            "jail": jail, "path": str(self.server.folder / "jail.d" / f"zz-portcullis-{jail}.local"),
            "enabled": enabled, "options": wanted, "ignoreip": NEVER, "content": text,
        }  # fmt: skip

    def put(self, *, adopt: bool = False, **more: Any) -> dict[str, Any]:
        self.server.calls.clear()
        desired = self.desired(**more)
        return self.client.on("put", "fail2ban.jails", desired["jail"], desired, adopt=adopt)

    def refused(self, *, adopt: bool = False, **more: Any) -> AgentError:
        desired = self.desired(**more)
        return self.client.refused("put", "fail2ban.jails", desired["jail"], desired, adopt=adopt)

    def remove(self) -> str:
        self.server.calls.clear()
        done: str = self.client.on("remove", "fail2ban.jails", "sshd", self.desired())["done"]
        return done

    def facts(self) -> dict[str, Any]:
        return self.client.look("fail2ban.jails", "sshd", {"jail": "sshd", "options": OPTIONS})

    def steps(self, **more: Any) -> list[str]:
        desired = self.desired(**more)
        told = self.client.on("plan", "fail2ban.jails", "sshd", desired)
        return [step["property"] for step in told["steps"]]


@pytest.fixture
def machine(machine: Machine, tmp_path: Path) -> Iterator[Machine]:
    """A machine whose fail2ban socket is in a short folder: the path of a socket has at most 108 bytes."""
    short = Path(tempfile.mkdtemp(prefix="f2b"))
    server = FakeFail2ban(tmp_path / "fail2ban", short / "sock")
    server.write()
    packaged = server.folder / "jail.d" / "defaults-debian.conf"
    digest = hashlib.md5(packaged.read_bytes(), usedforsecurity=False).hexdigest()
    machine.ucf.write_text(f"{digest}  {packaged}\n")
    yield dataclasses.replace(
        machine,
        run=server,
        fail2ban=server.folder,
        fail2ban_socket=server.socket_path,
        fail2ban_database=tmp_path / "fail2ban.sqlite3",
        peer=PEER,
    )
    server.stop()
    shutil.rmtree(short)


@pytest.fixture
def jail(machine: Machine) -> Iterator[Jail]:
    server = machine.run
    assert isinstance(server, FakeFail2ban)
    server.start()
    client = Client(machine)
    yield Jail(client, server)
    client.close()


def remember(
    machine: Machine, address: str, *, bantime: int = 604800, jail: str = "sshd", ago: int = 0
) -> None:
    with sqlite3.connect(machine.fail2ban_database) as database:
        database.execute(
            "CREATE TABLE IF NOT EXISTS bips(ip TEXT, jail TEXT, timeofban INTEGER, bantime INTEGER)"
        )
        database.execute(
            "INSERT INTO bips VALUES (?, ?, ?, ?)", (address, jail, int(time.time()) - ago, bantime)
        )
    database.close()


def found(kind: jails_module.Jails, spec: JailSpec) -> Any:
    (facts,) = kind.facts([(spec, None)])
    assert isinstance(facts, JailFacts)
    return facts


def test_a_jail_is_tested_loaded_and_read_back_and_a_second_put_changes_nothing(jail: Jail) -> None:
    done = jail.put()
    assert done["facts"]["options"] == OPTIONS
    assert done["facts"]["ignoreip"] == NEVER
    assert done["facts"]["enabled"] is True
    assert [call for call in jail.server.calls if call[0] == "fail2ban-client"] == [
        ["fail2ban-client", "-t"],
        ["fail2ban-client", "reload", "--restart", "--if-exists", "sshd"],
    ]
    assert jail.path.stat().st_mode & 0o777 == 0o644
    assert jail.put()["steps"] == []
    assert jail.server.calls == []


def test_a_value_that_the_server_ignores_is_an_error(jail: Jail) -> None:
    jail.server.ignored_by_reload = True
    error = jail.refused()
    assert error.code == "not-converged"
    assert error.prop == "options.maxretry"
    assert "still 5" in error.message


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (lambda jail: jail.server.jails["sshd"].update(maxretry="50"), "options.maxretry"),
        (lambda jail: jail.server.jails["sshd"].pop("bantime.increment"), "options.bantime.increment"),
        (
            lambda jail: jail.server.jails["sshd"].update(ignoreip="127.0.0.0/8 ::1 192.0.2.7"),
            "ignoreip.192.0.2.7",
        ),
        (lambda jail: jail.server.jails["sshd"].update(ignoreip="::1"), "ignoreip.127.0.0.0/8"),
        (lambda jail: jail.server.jails.pop("sshd"), "enabled"),
        (lambda jail: jail.path.write_text(jail.path.read_text() + "# mine\n"), "content"),
        (lambda jail: jail.path.unlink(), "content"),
        (lambda jail: jail.drop_in("zzz.local", "[sshd]\nbantime = 1\n"), "overridden"),
    ],
)
def test_drift_is_shown_by_property_and_repaired(
    jail: Jail, change: Callable[[Jail], Any], shown: str
) -> None:
    jail.put()
    change(jail)
    assert shown in jail.steps()
    jail.put()
    assert jail.steps() == []
    assert jail.server.jails["sshd"]["bantime"] == "604800"


@pytest.mark.parametrize(
    "left",
    [
        "",
        listing({"sshd": ["192.0.2.7", "192.0.2.8"]}),
        # fail2ban created its table again for the last ban.
        listing({"sshd": ["192.0.2.8", "2001:db8::7"]}),
        # The sets of nftables have the addresses, but no rule uses the sets.
        listing({"sshd": ["192.0.2.7", "192.0.2.8", "2001:db8::7"]}).replace("@addr", "@other"),
    ],
)
def test_bans_that_the_packet_filter_lost_are_shown_and_come_back(jail: Jail, left: str) -> None:
    jail.put(banaction="nftables")
    jail.server.banned["sshd"] = ["192.0.2.7", "192.0.2.8", "2001:db8::7"]
    jail.server.rules = left
    assert jail.steps(banaction="nftables") == ["enforced"]
    jail.put(banaction="nftables")
    assert jail.steps(banaction="nftables") == []


def test_a_ban_that_ends_during_the_check_is_not_missing(jail: Jail) -> None:
    jail.put(banaction="nftables")
    jail.server.banned["sshd"] = ["192.0.2.7", "192.0.2.8"]
    jail.server.rules = listing({"sshd": ["192.0.2.8"]})
    jail.server.lets_go = [("sshd", "192.0.2.7")]
    assert jail.steps(banaction="nftables") == []


def test_an_option_that_only_files_tell_comes_from_the_overriding_file(jail: Jail) -> None:
    jail.put()
    jail.drop_in("zzz.local", "[web]\nfilter = x\n[sshd]\nFilter : sshd[mode=normal]\n  continued\n")
    facts = jail.facts()
    assert facts["options"]["filter"] == "sshd[mode=normal] continued"
    assert list(facts["overridden"]) == ["filter"]


def test_overriding_lines_become_comments_and_come_back(jail: Jail) -> None:
    theirs = "# kept\r\n[sshd]\nbantime = 1\n   2\nmaxretry=9\n\n[web]\nbantime = 1\n"
    jail.put()
    path = jail.drop_in("zzz.local", theirs)
    path.chmod(0o640)
    jail.put()
    silenced = theirs.replace("bantime = 1\n   2\nmax", "M bantime = 1\nM    2\nM max").replace(
        "M", "#portcullis:sshd#"
    )
    assert path.read_bytes().decode() == silenced
    assert path.stat().st_mode & 0o777 == 0o640
    assert jail.remove() == "removed"
    assert path.read_bytes().decode() == theirs


def test_a_file_that_is_read_earlier_does_not_override_the_jail(jail: Jail) -> None:
    jail.put()
    (jail.server.folder / "jail.local").write_text("[sshd]\nmaxretry = 50\n")
    assert jail.steps() == []


def test_an_existing_jail_of_somebody_else_needs_adopt(jail: Jail) -> None:
    (jail.server.folder / "jail.local").write_text("[sshd]\nenabled = true\nbantime = 99\n")
    jail.server.reload("sshd")
    (jail.server.folder / "jail.d" / "defaults-debian.conf").unlink()
    error = jail.refused()
    assert error.code == "differs"
    assert f"set up in {jail.server.folder / 'jail.local'}" in error.message
    assert jail.server.jails["sshd"]["bantime"] == "99"
    jail.put(adopt=True)
    assert jail.server.jails["sshd"]["bantime"] == "604800"
    assert jail.remove() == "removed"
    assert jail.server.jails["sshd"]["bantime"] == "99", "as it was before the first deploy"


def test_a_refused_jail_leaves_all_files_unchanged(jail: Jail) -> None:
    jail.put()
    before = jail.path.read_bytes()
    jail.drop_in("zzz.local", "[sshd]\nbantime = 1\n")
    jail.server.broken = "no-such-filter"
    error = jail.refused(filter="no-such-filter")
    assert error.code == "test-failed"
    assert "Unable to read the filter" in error.detail
    assert jail.path.read_bytes() == before
    assert (jail.server.folder / "jail.d" / "zzz.local").read_text() == "[sshd]\nbantime = 1\n"
    assert "sshd" in jail.server.jails


def test_a_refused_first_jail_leaves_no_file_and_no_record(jail: Jail, machine: Machine) -> None:
    jail.server.broken = "no-such-filter"
    jail.refused(filter="no-such-filter", adopt=True)
    assert not jail.path.exists()
    assert not machine.state.exists()


def test_a_jail_without_its_log_file_is_refused_before_anything_is_written(
    jail: Jail, tmp_path: Path
) -> None:
    log = tmp_path / "error.log"
    error = jail.refused(jail="web", logpath=str(log))
    assert f"no file matches {log}" in error.message
    assert not (jail.server.folder / "jail.d" / "zz-portcullis-web.local").exists()
    log.touch()
    done = jail.put(jail="web", logpath=str(log))
    assert done["facts"]["options"]["logpath"] == str(log)


def test_without_a_server_the_error_says_what_to_declare(jail: Jail) -> None:
    jail.server.stop()
    error = jail.refused()
    assert error.message == "fail2ban does not run on the host"
    assert "`Service` fail2ban.service" in error.hint
    assert not jail.path.exists()


def test_a_stopped_server_reads_as_a_jail_that_does_not_run(jail: Jail) -> None:
    jail.put()
    jail.server.stop()
    facts = jail.facts()
    assert facts["enabled"] is False
    assert facts["options"] == OPTIONS, "nothing else differs"


def test_a_jail_can_be_switched_off(jail: Jail) -> None:
    jail.put()
    jail.put(enabled=False)
    assert "sshd" not in jail.server.jails
    assert jail.steps(enabled=False) == []


def test_removal_stops_the_jail(jail: Jail) -> None:
    jail.put()
    assert jail.remove() == "removed"
    assert not jail.path.exists()
    assert jail.server.jails == {}
    assert jail.remove() == "absent"


def test_removal_works_without_server_and_without_package(jail: Jail) -> None:
    jail.put()
    jail.server.stop()
    assert jail.remove() == "removed"
    jail.server.start()
    jail.put()
    jail.server.stop()
    shutil.rmtree(jail.server.folder)
    assert jail.remove() == "absent"


def test_a_jail_with_a_ban_of_our_own_address_in_the_database_is_refused(
    jail: Jail, machine: Machine
) -> None:
    remember(machine, "192.0.2.9")
    error = jail.refused()
    assert error.code == "lock-out"
    assert "the jail sshd bans 192.0.2.9, the address of this session" in error.message
    assert not jail.path.exists()


@pytest.mark.parametrize(
    "ban",
    [
        {"address": "192.0.2.8"},
        {"address": "192.0.2.9", "jail": "web"},
        {"address": "192.0.2.9", "ago": 700000},
    ],
)
def test_bans_of_other_addresses_or_jails_and_ended_bans_do_not_matter(
    jail: Jail, machine: Machine, ban: dict[str, Any]
) -> None:
    remember(machine, **ban)
    jail.put()


def test_a_present_ban_and_a_permanent_one_count(jail: Jail, machine: Machine) -> None:
    jail.put()
    jail.server.banned["sshd"] = ["192.0.2.0/24"]
    assert jail.refused(maxretry="4").code == "lock-out"
    jail.server.banned.clear()
    remember(machine, "192.0.2.9", bantime=-1, ago=10**8)
    assert jail.refused(maxretry="4").code == "lock-out"


def test_an_address_that_is_never_banned_may_be_in_the_database(jail: Jail, machine: Machine) -> None:
    remember(machine, "192.0.2.9")
    kind = jails_module.Jails(machine, Store(machine.state))
    banned = kind.as_desired(jail.desired())
    facts = found(kind, banned.spec())
    assert kind.preflight(banned, facts, [], PEER) is not None
    never = dataclasses.replace(banned, ignoreip={**NEVER, "192.0.2.0/24": "never banned"})
    assert kind.preflight(never, facts, [], PEER) is None
    assert kind.preflight(banned, facts, [], None) is None


@pytest.fixture
def patient(jail: Jail) -> Jail:
    """A jail that counts as done after three seconds without news, in place of a tenth of one."""
    jail.client = jail.client.again(machine=dataclasses.replace(jail.client.machine, settle=1.0))
    return jail


def test_a_jail_that_bans_us_for_older_failures_is_rolled_back(patient: Jail) -> None:
    jail = patient
    jail.put()
    before = jail.path.read_bytes()
    # The jail reads for a while and finds our own failures at the end.
    jail.server.failed = [1, 2, 3, 4]
    asked = jail.server.answer

    def answer(words: list[str]) -> Any:
        if words[0] == "status" and len(words) > 1 and not jail.server.failed:
            jail.server.banned["sshd"] = ["192.0.2.9"]
        return asked(words)

    jail.server.answer = answer  # type: ignore[method-assign]
    error = jail.refused(maxretry="4")
    assert error.code == "lock-out"
    assert (
        "bans 192.0.2.9, the address of this session, because of older failures in the log" in error.message
    )
    assert jail.path.read_bytes() == before


def test_a_change_waits_until_the_jail_has_read_the_whole_journal(patient: Jail) -> None:
    jail = patient
    jail.server.silent = True
    jail.server.failed = [0] * 14  # longer than the time after which a jail without news counts as done
    asked = jail.server.answer

    def answer(words: list[str]) -> Any:
        if words == ["status", "sshd"] and not jail.server.failed:
            jail.server.banned["sshd"] = ["192.0.2.9"]
            jail.server.say("sshd")
        return asked(words)

    jail.server.answer = answer  # type: ignore[method-assign]
    assert jail.refused(journalmatch="_COMM=sshd").code == "lock-out"


@pytest.mark.parametrize(("logtarget", "loglevel"), [("SYSLOG", "INFO"), ("", "NOTICE")])
def test_without_a_readable_log_a_jail_counts_as_done_after_a_while(
    jail: Jail, logtarget: str, loglevel: str
) -> None:
    jail.server.silent = True
    jail.server.logtarget, jail.server.loglevel = logtarget, loglevel
    jail.server.failed = [0] * 1000
    jail.put(journalmatch="_COMM=sshd")
    assert len(jail.server.failed) > 900, "it asked until it gave up"


def test_a_broken_database_restores_nothing(jail: Jail, machine: Machine) -> None:
    machine.fail2ban_database.write_text("not a database, but long enough to look like one" * 99)
    jail.put()


def test_the_undo_lifts_bans_and_restores_every_changed_file(jail: Jail, machine: Machine) -> None:
    kind = jails_module.Jails(machine, Store(machine.state))
    later = jail.drop_in("zzz.local", "[sshd]\nbantime = 1\n")
    desired = kind.as_desired(jail.desired())
    facts = found(kind, desired.spec())
    undo = kind.undo(desired, facts, [])
    assert undo is not None
    assert undo.paths == (str(jail.path), str(later))
    *_, script, _, name = undo.commands[-1]
    assert name == "sshd"
    assert "reload --restart --unban" in script
    assert 'stop "$1"' in script, "a jail that no file names any more would go on banning"
    assert kind.undo(dataclasses.replace(desired, enabled=False), facts, []) is None, (
        "a jail that is off bans nobody"
    )


@pytest.mark.parametrize("jail_local", ["", "[sshd]\nenabled = true\n"])
def test_a_removal_needs_an_undo_only_if_a_jail_of_somebody_else_takes_over(
    jail: Jail, machine: Machine, jail_local: str
) -> None:
    (jail.server.folder / "jail.d" / "defaults-debian.conf").unlink()
    (jail.server.folder / "jail.local").write_text(jail_local)
    jail.put(adopt=True)
    kind = jails_module.Jails(machine, Store(machine.state))
    record = jail.client.operations._store.load("fail2ban.jails", "sshd")
    assert record is not None
    desired = kind.as_desired(jail.desired())
    facts = found(kind, desired.spec())
    assert (kind.undo_removal(desired, record, facts) is not None) == bool(jail_local)


def test_an_answer_cannot_run_code(machine: Machine) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (machine.fail2ban / "pwned",)

    server = machine.run
    assert isinstance(server, FakeFail2ban)
    server.start()
    server.answer = lambda _words: [Evil()]  # type: ignore[method-assign]
    with Server(machine.fail2ban_socket) as found:
        assert found is not None
        found.banned("sshd")
    assert not (machine.fail2ban / "pwned").exists()


@pytest.mark.parametrize(
    "said",
    [
        pickle.dumps(7),
        b"\x80\x04\x95" + b"\xff" * 8 + b".",  # a frame with more bytes than the answer has
        b"\x80\x04h\x07.",  # a reference to an object that was never stored
        b"\x80\x04r\xff\xff\xff\xff.",
    ],
)
def test_an_invalid_answer_is_an_error(machine: Machine, said: bytes) -> None:
    server = machine.run
    assert isinstance(server, FakeFail2ban)
    server.start()
    server._speak = lambda connection: (connection.recv(99), connection.sendall(said + END))  # type: ignore[assignment,method-assign]
    with Server(machine.fail2ban_socket) as found:
        assert found is not None
        with pytest.raises(AgentError, match="invalid answer"):
            found.jails()


@pytest.mark.parametrize("parts", [[()], [3], [None], [["Filter", 3]], [["Filter", [["Total failed", "x"]]]]])
def test_an_answer_of_another_form_counts_as_empty(machine: Machine, parts: list[Any]) -> None:
    server = machine.run
    assert isinstance(server, FakeFail2ban)
    server.start()
    server.answer = lambda _words: parts  # type: ignore[method-assign]
    with Server(machine.fail2ban_socket) as found:
        assert found is not None
        assert (found.jails(), found.failed("sshd")) == ([], 0)


@pytest.mark.parametrize("name", ["DEFAULT", "../x", "a]b", ""])
def test_a_name_that_could_be_a_path_is_refused(jail: Jail, name: str) -> None:
    assert "is not a name for a jail" in jail.refused(jail=name).message


@pytest.mark.parametrize(
    "rules", ["x @", "[@]", '{"x": @}', '{"nftables": [null, @]}', '{"nftables": [{"set": 1}, @]}']
)
def test_rules_in_another_format_count_as_no_bans(machine: Machine, rules: str) -> None:
    server = machine.run
    assert isinstance(server, FakeFail2ban)
    server.rules = rules.replace("@", '"@addr-set-sshd"')
    assert not bans.enforced(machine, "sshd", "nftables", lambda: ["203.0.113.7"])
