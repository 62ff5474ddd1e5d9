"""The component `Backup`, its settings, and the command that restores."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pulumi
import pytest

from portcullis.cli import restore
from portcullis.cli.main import parsed
from portcullis.components import Backup, BackupsArgs, BackupSource, ResticArgs
from portcullis.config.faults import SettingsError
from portcullis.config.load import read
from tests.components.test_components import WEB1
from tests.previews import unknown_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.recording_engine import Deploy

ROOT = Path(__file__).parents[3]
STORES = {name: BackupSource(kind=name, container=name) for name in ("redis", "mongo")}

POSTGRES = BackupSource(kind="postgres", container="postgres", database="shop")


def backup(*, stores: dict[str, BackupSource] = STORES, **args: Any) -> Backup:
    return Backup("web1-backup", BackupsArgs(**args), host=WEB1, stores=stores)


def test_it_declares_the_job_its_timer_and_the_check(deploy: Deploy) -> None:
    engine = deploy(backup)
    files = {r.inputs["path"]: r.inputs for r in engine.of(":File")}
    assert files["/usr/local/sbin/portcullis-backup"]["mode"] == "0755"
    assert files["/etc/portcullis-backup/config.json"]["mode"] == "0600"
    assert "/usr/local/lib/portcullis_backup/main.py" in files
    assert {r.inputs["path"]: r.inputs["mode"] for r in engine.of(":Directory")} == {
        "/etc/portcullis-backup": "0700",
        "/usr/local/lib/portcullis_backup": "0755",
        "/var/backups/portcullis": "0700",
    }
    status = engine.one(":BackupStatus").inputs
    assert status["stores"] == {"mongo": "fresh", "redis": "fresh"}
    assert status["unit"] == "portcullis-backup.service"
    assert status["hours"] == 48
    assert engine.before("web1-backup-status") >= {r.name for r in engine.of(":File")} | {
        "web1-backup-portcullis-backup.timer",
        "web1-backup-folder",
    }


def test_each_database_of_postgresql_is_a_store_of_its_own(deploy: Deploy) -> None:
    engine = deploy(lambda: backup(stores={"postgres.shop": POSTGRES}))
    assert engine.one(":BackupStatus").inputs["stores"] == {"postgres.shop": "fresh"}
    told = json.loads(engine.one(":File", "web1-backup-settings").inputs["content"])
    assert told["stores"] == {
        "postgres.shop": {"kind": "postgres", "container": "postgres", "database": "shop"}
    }


def test_without_restic_nothing_is_installed_for_it(deploy: Deploy) -> None:
    engine = deploy(backup)
    assert not engine.of(":Packages")
    assert not engine.of(":GeneratedSecret")
    assert "restic" not in str([r.inputs for r in engine.of(":File") if "library" not in r.name])


def test_copies_have_a_generated_password_and_marked_secrets(deploy: Deploy) -> None:
    def program() -> None:
        key = pulumi.Output.secret("hidden")
        environment = {"AWS_SECRET_ACCESS_KEY": key}
        restic = ResticArgs(repository="s3:https://s3.example.com/web1", environment=environment)
        made = backup(restic=restic)
        assert made.restic_password is not None

    engine = deploy(program)
    assert list(engine.one(":Packages").inputs["packages"]) == ["restic"]
    assert set(engine.one(":BackupStatus").inputs["stores"]) == {"mongo", "redis", "restic"}
    for what in ("repository", "password", "environment"):
        file = engine.one(":File", f"web1-backup-restic-{what}")
        assert "content" in file.secret
        assert file.inputs["mode"] == "0600"
    assert "AF_INET" in engine.one(":File", "web1-backup-service").inputs["content"]
    others = [r.inputs for r in engine.declared if not r.name.startswith("web1-backup-restic-")]
    assert "hidden" not in str(others)


def test_an_existing_repository_keeps_its_password(deploy: Deploy) -> None:
    engine = deploy(lambda: backup(restic=ResticArgs(repository="/srv/restic", password="known")))
    assert not engine.of(":GeneratedSecret")
    file = engine.one(":File", "web1-backup-restic-password")
    assert file.inputs["content"] == "known\n"
    assert "content" in file.secret


def test_the_job_may_write_to_a_repository_on_the_host(deploy: Deploy) -> None:
    engine = deploy(lambda: backup(restic=ResticArgs(repository="/srv/restic")))
    assert engine.one(":Directory", "web1-backup-restic-folder").inputs["path"] == "/srv/restic"
    unit = engine.one(":File", "web1-backup-service").inputs["content"]
    assert "ReadWritePaths=/var/backups/portcullis /srv/restic\n" in unit


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: backup(keep=0, time="3:30"), ["BackupsArgs.keep", "BackupsArgs.time"]),
        (lambda: backup(stores={}), ["Backup.stores: names no store"]),
        (lambda: backup(enabled=False), ["BackupsArgs.enabled: is false; leave out the component"]),
        (lambda: backup(stores={"a.b": STORES["redis"], "restic": STORES["redis"]}), ['"a.b"', '"restic"']),
        (
            lambda: backup(stores={"postgres.blog": POSTGRES}),
            ['"postgres.blog"'],
        ),
        (lambda: BackupSource(kind="postgres", container="postgres"), ["BackupSource.database: is missing"]),
        (
            lambda: BackupSource(kind="mongo", container="mongo", database="shop"),
            ["BackupSource.database: has no effect for mongo"],
        ),
        (
            lambda: BackupSource(kind="postgres", container="postgres", database="template1"),
            ["BackupSource.database"],
        ),
        (
            lambda: BackupSource(kind="redis", container="a b", ca="x y"),
            ["BackupSource.container", "BackupSource.ca"],
        ),
        (
            lambda: BackupSource(kind="redis", container="redis", ca="/run/$(x)"),
            ["BackupSource.ca"],
        ),
        (
            lambda: ResticArgs(repository="ftp:nowhere"),
            ["ResticArgs.repository", "none of restic's backends"],
        ),
        (
            lambda: ResticArgs(repository="/srv", environment={"a b": ""}),
            ["ResticArgs.environment", "is not a plain path"],
        ),
        (
            lambda: ResticArgs(repository="/srv/restic", environment={"A": "x\ny"}),
            ["ResticArgs.environment.A: does not fit on one line"],
        ),
    ],
)
def test_arguments_that_would_fail_on_the_host_are_refused(
    make: Callable[[], object], said: list[str]
) -> None:
    with pytest.raises(ValueError, match=r"\w+Args|Backup\.|BackupSource") as caught:
        make()
    for part in said:
        assert part in str(caught.value)


def test_settings_are_read_and_their_faults_are_reported() -> None:
    assert read(BackupsArgs, {}, "").model_dump() == {
        "enabled": True, "keep": 14, "time": "03:30", "restic": None,
    }  # fmt: skip
    found = read(BackupsArgs, {"keep": 7, "restic": {"repository": "sftp:me@host:/srv/web1"}}, "")
    assert found.restic is not None
    assert found.restic.environment == {}
    restic = {"repository": "/srv/$HOME", "environment": {"KEY": "hidden\nx"}, "password": "a\nb"}
    with pytest.raises(SettingsError) as caught:
        read(BackupsArgs, {"keep": 0, "time": 210, "restic": restic, "kep": 1}, "portcullis:backups")
    said = str(caught.value)
    assert "hidden" not in said
    assert said.count("does not fit on one line") == 2
    for part in ("keep: ", "time: ", "restic.repository: ", "kep: is not a known key", "03:30"):
        assert part in said, said


# --- portcullis restore


def restored(arguments: list[str]) -> int:
    return restore.run(parsed(["restore", "--stack", "lab", *arguments]))


class Host:
    """A fake host behind ssh."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.asked: list[list[str]] = []
        self.dumps: list[dict[str, Any]] = []
        self.code, self.err = 0, ""
        (tmp_path / ".portcullis/lab").mkdir(parents=True)
        (tmp_path / ".portcullis/lab/ssh_config").write_text("Host web1\n\nHost web2\n")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(restore, "run_bounded", self.run)
        monkeypatch.setattr(restore, "_relay", self.run)

    def run(self, argv: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        self.asked.append(argv)
        return subprocess.CompletedProcess(argv, self.code, json.dumps(self.dumps), self.err)

    def add(self, name: str, items: int = 3, *, aside: bool = False) -> None:
        self.dumps.append({
            "store": "redis", "name": name, "taken": time.time() - 7300, "items": items, "place": "here",
            "bytes": 7, "holds": "keys", "aside": aside,
        })  # fmt: skip

    @property
    def restored(self) -> list[str]:
        return [" ".join(argv[-3:]) for argv in self.asked if "restore" in argv]


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Host:
    made = Host(monkeypatch, tmp_path)
    made.add("2026-11-24T05-00-00Z", 9, aside=True)
    made.add("2026-11-24T04-00-00Z", 0)
    made.add("2026-11-24T03-30-00Z")
    return made


def test_without_from_it_lists_the_backups(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    assert restored(["--host", "web1"]) == 0
    said = capsys.readouterr().out
    assert "2026-11-24T03-30-00Z" in said
    assert "portcullis restore --stack lab --host web1 redis --from " in said
    assert host.restored == []


def test_it_asks_first_and_restores_only_after_the_right_answer(
    host: Host, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--host", "web1", "--from", "latest", "redis"]
    assert restored(arguments) == 2
    assert "add --yes to restore without a question" in capsys.readouterr().err
    monkeypatch.setattr(restore.sys.stdin, "isatty", lambda: True, raising=False)
    for answer, code in (("y", 2), ("redis", 0)):
        monkeypatch.setattr("builtins.input", lambda _, answer=answer: answer)
        assert restored(arguments) == code
        assert "2026-11-24T03-30-00Z (2 hours ago, 3 keys)" in capsys.readouterr().out
    assert host.restored == ["restore redis 2026-11-24T03-30-00Z"], "the newest backup with data in it"


def test_with_yes_it_does_not_ask(host: Host) -> None:
    assert restored(["--host", "web1", "--yes", "--from", "2026-11-24T05-00-00Z", "redis"]) == 0
    assert host.restored == ["restore redis 2026-11-24T05-00-00Z"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--yes", "--from", "latest"], "no store is given"),
        (["--yes", "--from", "2020-01-01T00-00-00Z", "redis"], "there is no backup 2020-01-01T00-00-00Z"),
        (["--stack", "prod"], ".portcullis/prod/ssh_config is missing"),
        (["--host", "web3", "redis"], "the stack lab has no host web3; its hosts: web1, web2"),
    ],
)
def test_impossible_requests_are_refused(
    host: Host, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert restored(["--host", "web1", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert host.restored == []


@pytest.mark.parametrize("words", [["redis; reboot"], ["--from", "$(reboot)", "redis"]])
def test_text_that_a_shell_would_run_never_reaches_the_host(host: Host, words: list[str]) -> None:
    with pytest.raises(SystemExit):
        restored(["--host", "web1", *words])
    assert host.asked == []


def test_the_error_names_a_host_that_does_not_answer(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.code, host.err = 255, "Connection refused"
    assert restored(["--host", "web1"]) == 2
    assert "web1 cannot be reached:\nConnection refused" in capsys.readouterr().err


def test_a_hosts_output_cannot_control_the_terminal(
    host: Host, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    host.add("\x1b]52;c;eA==\x07\n::stop-commands::x")
    assert restored(["--host", "web1"]) == 0
    assert "\x1b" not in (said := capsys.readouterr().out)
    assert "\n::stop" not in said
    host.code, host.err = 255, "\x1b[2K"
    assert restored(["--host", "web1"]) == 2
    assert "\x1b" not in capsys.readouterr().err
    monkeypatch.undo()
    with pytest.raises(subprocess.CalledProcessError) as failed:
        restore._relay(["sh", "-c", r"printf 'redis: done\033[2K\n::add-mask::e\n'; printf x >&2; exit 3"])
    assert failed.value.returncode == 3
    assert capsys.readouterr().out == "redis: done\ufffd[2K\n\ufffd::add-mask::e\nx\n"


def test_make_restore_runs_the_same_command() -> None:
    words = ["make", "-n", "restore", "STORE=mongo.shop", "FROM=latest", "YES=1", "SAFETY=no", "STACK=prod"]
    said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    command = said[said.index("portcullis restore") :].replace("\\\n", " ")
    assert command.split() == [
        "portcullis", "restore", "--stack", "prod", "--host", "web1", "--from", '"latest"', "--yes",
        "--no-safety-dump", "mongo.shop",
    ]  # fmt: skip


def test_a_preview_does_not_know_secrets_and_knows_all_else() -> None:
    def program() -> None:
        environment = {"AWS_SECRET_ACCESS_KEY": pulumi.Output.secret("hidden")}
        backup(restic=ResticArgs(repository="/srv/restic", environment=environment))

    assert unknown_in(program) == {"web1-backup-restic-password.content"}


@pytest.mark.parametrize(
    "text", ["{}", "[3]", '[{"store": "redis"}]', "hello", "[" * 100_000, '[{"name": ["x"]}]']
)
def test_an_invalid_list_of_a_host_is_an_error(text: str) -> None:
    with pytest.raises(restore.Stopped, match="web1 is not a list of backups"):
        restore.listed(text, "web1")
