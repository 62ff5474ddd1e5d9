"""Render the configuration of unattended security upgrades: for apt, needrestart and the timer.

The packaged file /etc/apt/apt.conf.d/50unattended-upgrades and
https://github.com/mvo5/unattended-upgrades#supported-options-reference explain the keys.
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
# Ubuntu's own default includes the archive of the release itself. Packages in this archive never change, and
# a security update may need one of them.
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
# Docker's own repository does not mark security updates. So apt installs every version that our apt
# preferences allow.
_DOCKERS = """\
Unattended-Upgrade::Origins-Pattern {
    "origin=Docker,label=Docker CE";
};
"""
_HOLD = """
# The setting updates.docker is `hold`, so the host does not upgrade Docker. To upgrade Docker by hand, run
# `apt-get install --only-upgrade docker.io containerd runc`. For packages from Docker's own repository, run
# `apt-get install --only-upgrade docker-ce docker-ce-cli containerd.io`.
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
        header(resource, "The host installs security upgrades by itself every day.")
        + """
APT::Periodic::Update-Package-Lists "1";
APT::Periodic::Unattended-Upgrade "1";
# Delete cached packages that can no longer be downloaded.
APT::Periodic::AutocleanInterval "7";

# Install security updates only. apt adds this list to the lists in other files, so this file clears those
# lists first.
"""
        + (_UBUNTU if os.startswith("ubuntu-") else _DEBIAN)
        + (_HOLD if docker == "hold" else _DOCKERS if docker_source == "docker" else "")
        + """
# If somebody has changed a configuration file, dpkg keeps it, and puts the package's new version beside it.
# Without these options, dpkg asks a question that nobody answers, and never installs the update.
Dpkg::Options {
    "--force-confdef";
    "--force-confold";
};

# Remove old kernels, so that /boot has space for the next kernel.
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
            "# The setting updates.reboot is `never`, so the host does not reboot by itself. If the file\n"
            "# /run/reboot-required exists, an installed upgrade needs a reboot.\n"
            'Unattended-Upgrade::Automatic-Reboot "false";\n'
        )
    return (
        "# A new kernel needs a reboot. The host reboots at this time, in its own time zone. The reboot\n"
        "# does not wait until users log out. Otherwise a forgotten session could delay the reboot for "
        "ever.\n"
        'Unattended-Upgrade::Automatic-Reboot "true";\n'
        'Unattended-Upgrade::Automatic-Reboot-WithUsers "true";\n'
        f'Unattended-Upgrade::Automatic-Reboot-Time "{word(reboot)}";\n'
    )


def needrestart_conf(resource: str) -> str:
    """Render the configuration of needrestart, which restarts services after an upgrade."""
    return header(resource, "needrestart restarts services after an upgrade of their libraries.") + (
        """
# Restart services without a question, because nobody could answer it.
$nrconf{restart} = 'a';
# Do not restart Docker after an upgrade of libraries. An upgrade of Docker itself restarts the engine, and
# containers do not use the host's libraries.
$nrconf{override_rc}{qr(^(docker|containerd)\\.)} = 0;
# Do not scan interpreters such as Python, Perl and Ruby: security holes of needrestart were in these scans
# (CVE-2024-48990, CVE-2024-48991, CVE-2024-48992, CVE-2024-11003).
$nrconf{interpscan} = 0;
# Print no hints about kernels and microcode: nobody reads such hints, and the setting updates.reboot
# says when the host reboots.
$nrconf{kernelhints} = 0;
$nrconf{ucodehints} = 0;
"""
    )


def timer_dropin(resource: str, reboot: str) -> str:
    """Render the timer's drop-in with the time of upgrades: the hour before the reboot."""
    hour, minute = reboot.split(":")
    begin = f"{(int(hour) - 1) % 24:02}:{int(minute):02}"
    return header(resource, "This file sets the time at which the host installs upgrades.") + (
        f"""
[Timer]
# Upgrades run in the hour before the reboot. By default, the system installs upgrades after six in the
# morning. Upgrades at that time would restart services during traffic, and a new kernel would wait a day for
# its reboot.
OnCalendar=
OnCalendar=*-*-* {begin}
RandomizedDelaySec=20m
"""
    )
