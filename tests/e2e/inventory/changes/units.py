"""Changes by hand of systemd units: new units, timers, drop-ins, and enabled or masked units."""

from __future__ import annotations

from tests.e2e.inventory.changes.change import Change, adds, edits

UNITS, DROP_INS, LINKS, GENERATED = (
    "units and timers",
    "drop-ins",
    "enabled and masked units",
    "generators and presets",
)
_RELOAD = "systemctl daemon-reload"
_SERVICE = "[Service]\nType=oneshot\nExecStart=/bin/true"
_RUNS = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target"
_TIMER = "[Timer]\nOnCalendar=daily\nUnit=dpkg-db-backup.service\n[Install]\nWantedBy=timers.target"
_DROP_IN = "[Service]\nEnvironment=DRILL=1"


def _unit(path: str, text: str, **more: object) -> Change:
    name = path.rpartition("/")[2]
    return adds(path, text, row=UNITS, after=_RELOAD, **{"shown": (name,), **more})  # type: ignore[arg-type]


CHANGES = {
    "unit": _unit(
        "/etc/systemd/system/drill-asleep.service",
        _SERVICE,
        shown=("drill-asleep.service", "unit file /etc/systemd/system/drill-asleep.service"),
        review="F4: units",
    ),
    "unit-that-runs": Change(
        UNITS,
        f"cat > /etc/systemd/system/drill-awake.service <<'EOF'\n{_RUNS}\nEOF\n"
        f"{_RELOAD}; systemctl -q enable --now drill-awake.service",
        ("drill-awake.service",),
        "systemctl -q disable --now drill-awake.service;"
        f" rm /etc/systemd/system/drill-awake.service; {_RELOAD}",
        paste=True,
    ),
    "timer": Change(
        UNITS,
        f"cat > /etc/systemd/system/drill-daily.timer <<'EOF'\n{_TIMER}\nEOF\n"
        f"{_RELOAD}; systemctl -q enable --now drill-daily.timer",
        ("drill-daily.timer", "unit file /etc/systemd/system/drill-daily.timer; enabled for timers.target"),
        f"systemctl -q disable --now drill-daily.timer; rm /etc/systemd/system/drill-daily.timer; {_RELOAD}",
        paste=True,
        review="F4: timers",
    ),
    "timer-beside-ours": _unit("/etc/systemd/system/portcullis-drill.timer", _TIMER),
    "unit-of-/usr/local": _unit("/usr/local/lib/systemd/system/drill-local.service", _SERVICE),
    "unit-until-the-next-boot": _unit("/run/systemd/system/drill-runtime.service", _SERVICE),
    "unit-beside-the-packaged-ones": _unit("/usr/lib/systemd/system/drill-lib.service", _SERVICE),
    "unit-in-place-of-a-packaged-one": _unit("/etc/systemd/system/fstrim.service", _SERVICE),
    "transient-timer": Change(
        UNITS,
        "systemd-run --quiet --unit=drill-later --on-active=1d /bin/true",
        ("drill-later.timer", "made by a command, such as systemd-run"),
        "systemctl stop drill-later.timer",
        paste=True,
    ),
    "transient-service": Change(
        UNITS,
        "systemd-run --quiet --unit=drill-now /bin/sleep infinity",
        ("drill-now.service",),
        "systemctl stop drill-now.service",
    ),
    "unit-of-every-user": _unit("/etc/systemd/user/drill-user.service", _SERVICE),
    "unit-of-root's-own-systemd": adds(
        "/root/.config/systemd/user/drill-root.service",
        _SERVICE,
        row="home folders",
    ),
    "unit-of-a-user's-own-systemd": adds(
        "/home/deploy/.config/systemd/user/drill-deploy.service",
        _SERVICE,
        row="home folders",
        theirs=True,
    ),
    "drop-in-for-nginx": adds(
        "/etc/systemd/system/nginx.service.d/drill.conf",
        _DROP_IN,
        row=DROP_INS,
        after=_RELOAD,
        shown=("nginx.service", "/etc/systemd/system/nginx.service.d/drill.conf"),
        review="F4: drop-ins for nginx",
    ),
    "drop-in-for-docker": adds(
        "/etc/systemd/system/docker.service.d/drill.conf",
        _DROP_IN,
        row=DROP_INS,
        after=_RELOAD,
        shown=("docker.service", "/etc/systemd/system/docker.service.d/drill.conf"),
        review="F4: drop-ins for docker",
    ),
    "drop-in-for-ssh": adds(
        "/etc/systemd/system/ssh.service.d/drill.conf",
        _DROP_IN,
        row=DROP_INS,
        after=_RELOAD,
        shown=("ssh.service", "/etc/systemd/system/ssh.service.d/drill.conf"),
        review="F4: drop-ins for ssh",
    ),
    "drop-in-for-cron": adds(
        "/etc/systemd/system/cron.service.d/drill.conf",
        _DROP_IN,
        row=DROP_INS,
        after=_RELOAD,
        shown=("cron.service", "drop-in /etc/systemd/system/cron.service.d/drill.conf"),
        review="F4: drop-ins for cron",
    ),
    "drop-in-for-all": adds(
        "/etc/systemd/system/timer.d/drill.conf",
        "[Unit]",
        row=DROP_INS,
        after=_RELOAD,
        shown=("timer.d", "/etc/systemd/system/timer.d/drill.conf"),
    ),
    "drop-in-until-the-next-boot": adds(
        "/run/systemd/system/fail2ban.service.d/drill.conf",
        _DROP_IN,
        row=DROP_INS,
        after=_RELOAD,
        shown=("fail2ban.service", "/run/systemd/system/fail2ban.service.d/drill.conf"),
    ),
    "declared-timer-masked": Change(
        LINKS,
        "systemctl -q mask --now apt-daily.timer",
        ("apt-daily.timer", "masked"),
        "systemctl -q unmask apt-daily.timer; systemctl start apt-daily.timer",
        stays=False,
        review="F4: a masked timer",
    ),
    "packaged-timer-masked": Change(
        LINKS,
        "systemctl -q mask --now dpkg-db-backup.timer",
        ("dpkg-db-backup.timer", "masked: it cannot start"),
        "systemctl -q unmask dpkg-db-backup.timer; systemctl start dpkg-db-backup.timer",
        paste=True,
    ),
    "enabled-by-hand": Change(
        LINKS,
        "systemctl -q enable debug-shell.service",
        ("debug-shell.service", "enabled for sysinit.target"),
        "systemctl -q disable debug-shell.service",
        paste=True,
    ),
    "enabled-against-our-filter": Change(
        LINKS,
        "systemctl -q enable nftables.service",
        ("nftables.service", "enabled for sysinit.target"),
        "systemctl -q disable nftables.service",
        paste=True,
        apart="while it is enabled, `up` refuses to change the firewall",
    ),
    "disabled-by-hand": Change(
        LINKS,
        "systemctl -q disable fstrim.timer",
        ("fstrim.timer", "disabled by hand: its package enabled it for timers.target"),
        "systemctl -q enable fstrim.timer",
    ),
    "started-by-hand": Change(
        LINKS,
        "systemctl start systemd-network-generator.service",
        ("systemd-network-generator.service",),
        "systemctl stop systemd-network-generator.service",
    ),
    "generator": adds(
        "/etc/systemd/system-generators/drill",
        "#!/bin/sh",
        mode="0755",
        row=GENERATED,
        shown=("generator /etc/systemd/system-generators/drill",),
        paste=True,
    ),
    "preset": adds("/etc/systemd/system-preset/00-drill.preset", "enable nftables.service", row=GENERATED),
    "sleep-hook": adds("/usr/lib/systemd/system-sleep/drill", "#!/bin/sh", mode="0755", row=GENERATED),
    "shutdown-hook": adds("/usr/lib/systemd/system-shutdown/drill", "#!/bin/sh", mode="0755", row=GENERATED),
    "settings-of-the-journal": edits(
        "/etc/systemd/journald.conf", "# by hand", row="changed files of packages"
    ),
}
