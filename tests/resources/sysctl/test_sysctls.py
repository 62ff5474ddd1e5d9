from __future__ import annotations

import dataclasses
import ipaddress
import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.agent.guarded import Peer
from portcullis.agent.run import Done
from portcullis.agent.store import Store
from portcullis.resources.sysctl.on_host import Sysctls
from portcullis.resources.sysctl.on_host.sysctl_files import normal, parse
from tests.on_host import Client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from portcullis.agent.errors import AgentError
    from portcullis.agent.machine import Machine
    from portcullis.resources.sysctl.facts import SysctlDesired

RP = "net.ipv4.conf.all.rp_filter"
EACH = "net.ipv4.conf.*.rp_filter"
SYNC = "net.ipv4.tcp_syncookies"
PTRACE = "kernel.yama.ptrace_scope"


@dataclass
class Kernel:
    """Calls the agent for one file of kernel settings.

    A folder of the test stands in for the kernel's /proc/sys.
    """

    client: Client
    root: Path

    @property
    def path(self) -> Path:
        return self.root / "etc/sysctl.d/90-ours.conf"

    def desired(self, values: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
        values = {RP: "1", SYNC: "1"} if values is None else values
        content = "# ours\n" + "".join(f"{key} = {value}\n" for key, value in values.items())
        return {
            "path": str(self.path), "values": values, "content": content, "owner": "root", "group": "root",
            "mode": "0644", **more,
        }  # fmt: skip

    def put(
        self, values: dict[str, str] | None = None, *, adopt: bool = False, **more: Any
    ) -> dict[str, Any]:
        return self.client.on("put", "sysctl", str(self.path), self.desired(values, **more), adopt=adopt)

    def refused(self, values: dict[str, str] | None = None, *, adopt: bool = False) -> AgentError:
        return self.client.refused("put", "sysctl", str(self.path), self.desired(values), adopt=adopt)

    def facts(self, values: dict[str, str] | None = None) -> dict[str, Any]:
        desired = self.desired(values)
        return self.client.look(
            "sysctl", str(self.path), {"path": str(self.path), "values": desired["values"]}
        )

    def remove(self) -> str:
        done: str = self.client.on("remove", "sysctl", str(self.path), self.desired())["done"]
        return done

    def live(self, key: str) -> str:
        return (self.root / "proc" / normal(key)).read_text().strip()

    def set(self, key: str, value: str) -> None:
        """Set a live value, as the kernel or a person with sysctl -w does."""
        path = self.root / "proc" / normal(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")

    def write(self, path: str, text: str) -> Path:
        """Write a file as a person with an editor does."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file


@pytest.fixture
def kernel(machine: Machine, tmp_path: Path) -> Iterator[Kernel]:
    places = {
        "proc_sys": tmp_path / "proc",
        "sysctl_d": tuple(tmp_path / name for name in ("etc/sysctl.d", "run/sysctl.d", "lib/sysctl.d")),
        "etc": tmp_path / "etc",
        "run": lambda *_, **__: Done(1, "", "no such file"),
    }
    for folder in places["sysctl_d"]:
        folder.mkdir(parents=True)
    client = Client(dataclasses.replace(machine, **places))
    made = Kernel(client, tmp_path)
    for key, value in ((RP, "0"), (SYNC, "1"), (PTRACE, "0"), ("net.ipv4.conf.eth0.rp_filter", "0")):
        made.set(key, value)
    yield made
    client.close()


def test_values_are_set_now_and_in_the_file_for_the_next_boot(kernel: Kernel) -> None:
    done = kernel.put()
    assert [step["property"] for step in done["steps"]] == [f"values.{RP}", "content"]
    assert kernel.live(RP) == "1"
    assert f"{RP} = 1\n" in kernel.path.read_text()
    assert kernel.put()["steps"] == []


def test_a_value_that_somebody_set_is_the_only_drift(kernel: Kernel) -> None:
    kernel.put()
    kernel.set(RP, "0")
    assert kernel.facts()["values"] == {RP: "0", SYNC: "1"}
    assert [step["property"] for step in kernel.put()["steps"]] == [f"values.{RP}"]
    assert kernel.live(RP) == "1"


def test_an_edited_file_is_drift_even_if_the_kernel_has_not_read_it(kernel: Kernel) -> None:
    kernel.put()
    kernel.path.write_text("# mine\n")
    assert kernel.facts()["content"] == "# mine\n"
    assert [step["property"] for step in kernel.put()["steps"]] == ["content"]


def test_tabs_between_columns_count_as_single_spaces(kernel: Kernel) -> None:
    kernel.set("net.ipv4.tcp_rmem", "4096\t131072\t6291456")
    assert kernel.put({"net.ipv4.tcp_rmem": "4096 131072 6291456"})["facts"]["content"].count("4096") == 1
    assert kernel.live("net.ipv4.tcp_rmem") == "4096\t131072\t6291456", "nothing had to be written"


def test_a_pattern_stands_for_every_interface_that_no_other_key_names(kernel: Kernel) -> None:
    kernel.set("net.ipv4.conf.docker0.rp_filter", "2")
    values = {RP: "0", EACH: "1"}
    done = kernel.put(values)
    assert done["steps"][0]["have"] == "0, but docker0: 2"
    assert kernel.live(RP) == "0"
    assert kernel.live("net.ipv4.conf.eth0.rp_filter") == "1"
    kernel.set("net.ipv4.conf.veth1.rp_filter", "2")
    assert kernel.facts(values)["values"] == {RP: "0", EACH: "1, but veth1: 2"}
    kernel.put(values)
    assert kernel.facts(values)["values"] == values


def test_an_interface_that_appears_meanwhile_is_set_too(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Sysctls._write

    def and_docker_starts(self: Sysctls, path: str, value: str) -> None:
        write(self, path, value)
        docker0 = kernel.root / "proc/net/ipv4/conf/docker0/rp_filter"
        if not docker0.exists():
            docker0.parent.mkdir()
            docker0.write_text("0\n")

    monkeypatch.setattr(Sysctls, "_write", and_docker_starts)
    kernel.put({EACH: "1"})
    assert kernel.live("net.ipv4.conf.docker0.rp_filter") == "1"


def test_delete_restores_the_old_values_even_after_drift(kernel: Kernel) -> None:
    kernel.put()
    kernel.set(RP, "2")
    kernel.put()
    kernel.remove()
    assert kernel.live(RP) == "0"
    assert not kernel.path.exists()


def test_delete_restores_the_old_file(kernel: Kernel) -> None:
    kernel.path.write_text("# before\n")
    assert kernel.refused().code == "differs"
    kernel.put(adopt=True)
    assert kernel.remove() == "restored"
    assert kernel.path.read_text() == "# before\n"


def test_a_key_that_is_no_longer_declared_gets_its_old_value_back(kernel: Kernel) -> None:
    kernel.put({RP: "1", PTRACE: "2"})
    kernel.put({RP: "1"})
    assert kernel.live(PTRACE) == "0"
    assert kernel.live(RP) == "1"


def test_a_kernel_without_ipv6_needs_no_ipv6_settings(kernel: Kernel) -> None:
    assert kernel.put({RP: "1", "net.ipv6.conf.all.accept_redirects": "0"})["steps"]
    assert kernel.put({RP: "1", "net.ipv6.conf.all.accept_redirects": "0"})["steps"] == []


def test_an_optional_key_may_be_missing_from_the_kernel(kernel: Kernel) -> None:
    (kernel.root / "proc" / normal(PTRACE)).unlink()
    assert kernel.put({RP: "1", PTRACE: "2"}, optional=[PTRACE])["steps"]
    assert kernel.put({RP: "1", PTRACE: "2"}, optional=[PTRACE])["steps"] == []
    assert kernel.refused({RP: "1", PTRACE: "2"}).message == f"the host's kernel has no {PTRACE}"


def test_a_key_that_the_kernel_does_not_have_is_named(kernel: Kernel) -> None:
    error = kernel.refused({RP: "1", "net.ipv4.no_such": "1"})
    assert error.message == "the host's kernel has no net.ipv4.no_such"
    assert kernel.live(RP) == "0"


def test_a_value_that_the_kernel_refuses_leaves_everything_as_it_was(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def refuse(fd: int, data: bytes) -> int:
        if data == b"77\n":
            raise OSError(22, "")
        return write(fd, data)

    monkeypatch.setattr(os, "write", refuse)
    error = kernel.refused({RP: "1", PTRACE: "77"})
    assert "the kernel refuses '77' for kernel.yama.ptrace_scope: Invalid argument" in error.message
    assert kernel.live(RP) == "0"
    assert not kernel.path.exists()


def test_a_port_start_inside_the_kernels_port_range_is_explained(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel.set("net.ipv4.ip_unprivileged_port_start", "1024")
    write = os.write

    def refuse(fd: int, data: bytes) -> int:
        if data == b"32768\n":
            raise OSError(22, "")
        return write(fd, data)

    monkeypatch.setattr(os, "write", refuse)
    error = kernel.refused({"net.ipv4.ip_unprivileged_port_start": "32768"})
    assert "raise net.ipv4.ip_local_port_range to begin at 32768" in error.hint


def test_the_hint_names_what_a_container_can_set(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write

    def refuse(fd: int, data: bytes) -> int:
        if data == b"2\n":
            raise OSError(30, "")
        return write(fd, data)

    monkeypatch.setattr(os, "write", refuse)
    assert "only=" in kernel.refused({PTRACE: "2"}).hint


@pytest.mark.parametrize(
    ("file", "wins"),
    [
        ("etc/sysctl.d/91-mine.conf", True),
        ("run/sysctl.d/99-cloud.conf", True),
        ("lib/sysctl.d/99-package.conf", True),
        ("etc/sysctl.d/10-mine.conf", False),
        ("lib/sysctl.d/50-package.conf", False),
        ("etc/sysctl.d/99-no-suffix", False),
    ],
)
def test_a_file_that_is_read_later_wins_at_the_next_boot_and_is_refused(
    kernel: Kernel, file: str, *, wins: bool
) -> None:
    kernel.put()
    path = kernel.write(file, f"# somebody\n-{RP.replace('.', '/')}=0\n{SYNC} = 1\n")
    assert kernel.facts()["overridden"] == ({RP: f"0 in {path}"} if wins else {})
    if wins:
        error = kernel.refused()
        assert f"{RP} is set to 0 in {path}" in error.message
        path.unlink()
    assert kernel.put()["steps"] == []


def test_a_file_that_another_one_hides_does_not_count(kernel: Kernel) -> None:
    kernel.write("lib/sysctl.d/99-package.conf", f"{RP} = 0\n")
    kernel.write("etc/sysctl.d/99-package.conf", "# emptied\n")
    assert kernel.facts()["overridden"] == {}


def test_a_later_pattern_does_not_win_over_a_whole_key(kernel: Kernel) -> None:
    kernel.write("lib/sysctl.d/99-default.conf", f"{EACH} = 2\n")
    assert kernel.facts()["overridden"] == {}


@pytest.mark.parametrize(("enabled", "path"), [("yes", True), ("no", True), ("yes", False)])
def test_settings_that_ufw_applies_at_each_reload_win(kernel: Kernel, enabled: str, *, path: bool) -> None:
    settings = kernel.write("etc/ufw/sysctl.conf", "#x\nnet/ipv4/conf/all/rp_filter=0\n")
    kernel.write("etc/ufw/ufw.conf", f"ENABLED={enabled}\n")
    kernel.write("etc/default/ufw", f'# settings\nIPT_SYSCTL="{settings if path else ""}"\n')
    if enabled == "yes" and path:
        assert "Firewall declares this file" in kernel.refused().hint
    else:
        kernel.put()


def test_a_value_that_an_administrator_set_needs_adopt(kernel: Kernel) -> None:
    path = kernel.write("etc/sysctl.d/10-mine.conf", f"{RP} = 2\n")
    kernel.set(RP, "2")
    error = kernel.refused()
    assert (error.code, error.prop) == ("differs", f"values.{RP}")
    assert error.detail == f"{path} sets it to 2"
    kernel.put(adopt=True)
    assert kernel.live(RP) == "1"


def test_settings_of_a_package_are_replaced_without_adopt(kernel: Kernel) -> None:
    kernel.write("lib/sysctl.d/50-default.conf", f"{RP} = 2\n")
    kernel.set(RP, "2")
    kernel.put()
    assert kernel.live(RP) == "1"


def kind(kernel: Kernel) -> Sysctls:
    return Sysctls(kernel.client.machine, Store(kernel.client.machine.state))


def question(kernel: Kernel, values: dict[str, str]) -> tuple[SysctlDesired, Any, list[Any]]:
    handler = kind(kernel)
    desired = handler.as_desired(kernel.desired(values))
    (facts,) = handler.facts([(desired.spec(), None)])
    return desired, facts, handler.plan(desired, facts)


def test_the_undo_restores_the_file_and_live_network_values(kernel: Kernel) -> None:
    undo = kind(kernel).undo(*question(kernel, {RP: "1", PTRACE: "2"}))
    assert undo is not None
    assert undo.paths == (str(kernel.path),)
    (command,) = undo.commands
    assert command[-2:] == ("0", str(kernel.root / "proc/net/ipv4/conf/all/rp_filter"))


def test_the_command_of_the_undo_works(kernel: Kernel) -> None:
    undo = kind(kernel).undo(*question(kernel, {RP: "1"}))
    kernel.put({RP: "1"})
    assert undo is not None
    subprocess.run(undo.commands[0], check=True)
    assert kernel.live(RP) == "0"


def test_a_setting_outside_the_network_needs_no_undo(kernel: Kernel) -> None:
    kernel.put({RP: "1"})
    assert kind(kernel).undo(*question(kernel, {RP: "1", PTRACE: "2"})) is None


def test_a_session_over_ipv6_cannot_switch_ipv6_off(kernel: Kernel) -> None:
    kernel.set("net.ipv6.conf.all.disable_ipv6", "0")
    asked = question(kernel, {"net.ipv6.conf.all.disable_ipv6": "1"})
    six, four = (
        Peer(ipaddress.ip_address(address), 1, ipaddress.ip_address(address), 22)
        for address in ("2001:db8::1", "192.0.2.1")
    )
    error = kind(kernel).preflight(*asked, six)
    assert error is not None
    assert "over IPv6" in error.message
    assert kind(kernel).preflight(*asked, four) is None


@pytest.mark.parametrize(
    ("interface", "refused"), [("all", True), ("eth0", True), ("eth1", False), ("default", False)]
)
def test_ipv6_is_not_disabled_where_an_address_would_be_lost(
    kernel: Kernel, interface: str, *, refused: bool
) -> None:
    key = f"net.ipv6.conf.{interface}.disable_ipv6"
    kernel.set(key, "0")
    kernel.write(
        "net/if_inet6",
        "20010db8010000000000000000000018 02 40 00 80     eth0\n"
        "fe80000000000000000000000000aaaa 03 40 20 80     eth1\n",
    )
    if refused:
        assert "would remove 2001:db8:100::18 from eth0" in kernel.refused({key: "1"}).message
        assert kernel.live(key) == "0"
    else:
        kernel.put({key: "1"})
        assert kernel.put({key: "1"})["steps"] == []


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("net.ipv4.conf.all.rp_filter", "net/ipv4/conf/all/rp_filter"),
        ("net/ipv4/conf/eth0.1/rp_filter", "net/ipv4/conf/eth0.1/rp_filter"),
        ("net.ipv4.conf.eth0/1.rp_filter", "net/ipv4/conf/eth0.1/rp_filter"),
    ],
)
def test_all_spellings_of_a_key_are_the_same(key: str, path: str) -> None:
    assert normal(key) == path


def test_a_file_is_read_as_systemd_reads_it() -> None:
    text = "# a = 1\n; b = 1\n\n c = 1 \n-d.e=2\n-f.g\nnot an assignment\nh.i = 1\t2  3\n"
    assert [(entry.key, entry.value) for entry in parse(text)] == [("c", "1"), ("d/e", "2"), ("h/i", "1 2 3")]
