"""The configuration of unattended security upgrades: for apt, needrestart and the timer.

Keys: /etc/apt/apt.conf.d/50unattended-upgrades as the package ships it, and
https://github.com/mvo5/unattended-upgrades#supported-options-reference.
"""

from __future__ import annotations

from typing import Literal

from portcullis.rendering import header, word

NEVER = "never"
# The name sorts last, because apt uses the value that it reads last.
APT_PATH = "/etc/apt/apt.conf.d/99zz-portcullis-updates"
NEEDRESTART_PATH = "/etc/needrestart/conf.d/50-portcullis.conf"
TIMER_FOLDER = "/etc/systemd/system/apt-daily-upgrade.timer.d"
TIMER_PATH = f"{TIMER_FOLDER}/50-portcullis.conf"

_DEBIAN = """\
#clear Unattended-Upgrade::Allowed-Origins;
#clear Unattended-Upgrade::Origins-Pattern;
Unattended-Upgrade::Origins-Pattern {
    "origin=Debian,codename=${distro_codename}-security,label=Debian-Security";
};
"""
# Ubuntu's own default includes the release itself. Its packages never change, and a security update may need
# one of them.
_UBUNTU = """\
#clear Unattended-Upgrade::Origins-Pattern;
#clear Unattended-Upgrade::Allowed-Origins;
Unattended-Upgrade::Allowed-Origins {
    "${distro_id}:${distro_codename}";
    "${distro_id}:${distro_codename}-security";
    "${distro_id}ESMApps:${distro_codename}-apps-security";
    "${distro_id}ESM:${distro_codename}-infra-security";
};
"""
# Docker's own repository does not mark security updates. So every version that our apt preferences allow is
# installed.
_DOCKERS = """\
Unattended-Upgrade::Origins-Pattern {
    "origin=Docker,label=Docker CE";
};
"""
_HOLD = """
# The settings leave Docker out. To upgrade it by hand:
# `apt-get install --only-upgrade docker.io containerd runc`, or docker-ce docker-ce-cli containerd.io.
Unattended-Upgrade::Package-Blacklist {
    "^docker\\.io$";
    "^docker-cli$";
    "^containerd$";
    "^runc$";
    "^docker-ce$";
    "^docker-ce-cli$";
    "^containerd\\.io$";
};
"""


def apt_conf(
    resource: str, os: str, reboot: str, docker: Literal["hold", "upgrade"], *, docker_source: str = "debian"
) -> str:
    """Render the configuration of apt and unattended-upgrades."""
    return (
        header(resource, "Security upgrades that install themselves every day.")
        + """
APT::Periodic::Update-Package-Lists "1";
APT::Periodic::Unattended-Upgrade "1";
# Delete cached packages that can no longer be downloaded.
APT::Periodic::AutocleanInterval "7";

# Security updates only. apt adds to a list, so the lists from other files are cleared first.
"""
        + (_UBUNTU if os.startswith("ubuntu-") else _DEBIAN)
        + (_HOLD if docker == "hold" else _DOCKERS if docker_source == "docker" else "")
        + """
# Keep a changed configuration file, and put the package's new version beside it. Without this, dpkg asks a
# question that nobody answers, and the update is never installed.
Dpkg::Options {
    "--force-confdef";
    "--force-confold";
};

# Remove old kernels. In a full /boot the next kernel cannot be installed.
Unattended-Upgrade::Remove-Unused-Kernel-Packages "true";
# Upgrade a few packages at a time, so that a shutdown leaves no package half installed.
Unattended-Upgrade::MinimalSteps "true";
# Log to the journal, like the rest of the host.
Unattended-Upgrade::SyslogEnable "true";

"""
        + _reboot(reboot)
    )


def _reboot(reboot: str) -> str:
    if reboot == NEVER:
        return (
            "# The settings forbid automatic reboots. A reboot is due when /run/reboot-required exists.\n"
            'Unattended-Upgrade::Automatic-Reboot "false";\n'
        )
    return (
        "# A new kernel needs a reboot. The host reboots at this time (its own time zone), even while\n"
        "# somebody is logged in: a forgotten session would delay the reboot for ever.\n"
        'Unattended-Upgrade::Automatic-Reboot "true";\n'
        'Unattended-Upgrade::Automatic-Reboot-WithUsers "true";\n'
        f'Unattended-Upgrade::Automatic-Reboot-Time "{word(reboot)}";\n'
    )


def needrestart_conf(resource: str) -> str:
    """Render the configuration of needrestart, which restarts services after an upgrade."""
    return header(resource, "Restarts services after an upgrade of their libraries.") + (
        """
# Restart services without a question, because nobody could answer it.
$nrconf{restart} = 'a';
# Docker's own upgrade restarts the engine. Containers bring their own libraries.
$nrconf{override_rc}{qr(^(docker|containerd)\\.)} = 0;
# Do not scan interpreters such as Python, Perl and Ruby: needrestart's own security holes were there
# (CVE-2024-48990, CVE-2024-48991, CVE-2024-48992, CVE-2024-11003).
$nrconf{interpscan} = 0;
# No hints about kernels and microcode: nobody reads them, and the reboot has its own setting.
$nrconf{kernelhints} = 0;
$nrconf{ucodehints} = 0;
"""
    )


def timer_dropin(resource: str, reboot: str) -> str:
    """Render the time of upgrades: in the hour before the reboot, and not in the morning's traffic."""
    hour, minute = reboot.split(":")
    begin = f"{(int(hour) - 1) % 24:02}:{int(minute):02}"
    return header(resource, "When upgrades are installed.") + (
        f"""
[Timer]
# The hour before the reboot. The system's default is after six in the morning. Services would then restart
# during traffic, and a new kernel would wait a day for its reboot.
OnCalendar=
OnCalendar=*-*-* {begin}
RandomizedDelaySec=20m
"""
    )
