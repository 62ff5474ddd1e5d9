"""Unattended security upgrades: what apt, needrestart and the timer are told.

Keys: /etc/apt/apt.conf.d/50unattended-upgrades as the package ships it, and
https://github.com/mvo5/unattended-upgrades#supported-options-reference.
"""

from __future__ import annotations

from typing import Literal

from portcullis.rendering import header, word

NEVER = "never"
# Last in the alphabet: apt follows the file that it reads last.
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
# The release itself as well, as Ubuntu has it: nothing in it ever changes, and a security update may need a
# package from it.
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
# Docker's own repository tells security updates from none: what its preferences let through is installed.
_DOCKERS = """\
Unattended-Upgrade::Origins-Pattern {
    "origin=Docker,label=Docker CE";
};
"""
_HOLD = """
# Docker is left out, as the settings say: upgrade it by hand, with
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
    """Render what apt and unattended-upgrades are told."""
    return (
        header(resource, "Security upgrades, every day, without anybody at hand.")
        + """
APT::Periodic::Update-Package-Lists "1";
APT::Periodic::Unattended-Upgrade "1";
# Packages that can no longer be downloaded are of no use on this disk.
APT::Periodic::AutocleanInterval "7";

# Security updates and nothing else. The lists of other files are emptied first: apt adds to a list.
"""
        + (_UBUNTU if os.startswith("ubuntu-") else _DEBIAN)
        + (_HOLD if docker == "hold" else _DOCKERS if docker_source == "docker" else "")
        + """
# A changed configuration file stays, and the new one is put beside it. Without this, an update that brings
# another version of a file that was changed, by us or by hand, is never installed: it waits for an answer.
Dpkg::Options {
    "--force-confdef";
    "--force-confold";
};

# A full /boot keeps the next kernel from being installed.
Unattended-Upgrade::Remove-Unused-Kernel-Packages "true";
# A few packages at a time: a shutdown in between leaves nothing half done.
Unattended-Upgrade::MinimalSteps "true";
# To the journal, where everything else is.
Unattended-Upgrade::SyslogEnable "true";

"""
        + _reboot(reboot)
    )


def _reboot(reboot: str) -> str:
    if reboot == NEVER:
        return (
            "# Never by itself, as the settings say: /run/reboot-required tells that a reboot is due.\n"
            'Unattended-Upgrade::Automatic-Reboot "false";\n'
        )
    return (
        "# A new kernel counts from the next boot on. At this time (the host's zone), also while somebody\n"
        "# is logged in: a forgotten session would put it off for ever.\n"
        'Unattended-Upgrade::Automatic-Reboot "true";\n'
        'Unattended-Upgrade::Automatic-Reboot-WithUsers "true";\n'
        f'Unattended-Upgrade::Automatic-Reboot-Time "{word(reboot)}";\n'
    )


def needrestart_conf(resource: str) -> str:
    """Render what needrestart does after an upgrade."""
    return header(resource, "Services run on the libraries that were upgraded.") + (
        """
# Restart them, without asking: nobody is there to answer.
$nrconf{restart} = 'a';
# The engine is restarted by an upgrade of its own, and containers have libraries of their own.
$nrconf{override_rc}{qr(^(docker|containerd)\\.)} = 0;
# What programs in Python, Perl and Ruby have loaded is not looked into: that is where needrestart's own holes
# were (CVE-2024-48990, CVE-2024-48991, CVE-2024-48992, CVE-2024-11003).
$nrconf{interpscan} = 0;
# No messages about kernels and microcode to people who are not there; the reboot has its own rule.
$nrconf{kernelhints} = 0;
$nrconf{ucodehints} = 0;
"""
    )


def timer_dropin(resource: str, reboot: str) -> str:
    """Render when upgrades are installed: in the hour before the reboot, and not in the morning's traffic."""
    hour, minute = reboot.split(":")
    begin = f"{(int(hour) - 1) % 24:02}:{int(minute):02}"
    return header(resource, "When upgrades are installed.") + (
        f"""
[Timer]
# The hour before the reboot that they may need. By default it is after six in the morning: restarts of
# services then meet the traffic, and a new kernel waits a day for its reboot.
OnCalendar=
OnCalendar=*-*-* {begin}
RandomizedDelaySec=20m
"""
    )
