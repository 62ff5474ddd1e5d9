"""Changes by hand of files: undeclared files, and changed files of packages."""

from __future__ import annotations

from tests.e2e.inventory.changes.change import KEPT, Change, adds, changes_mode, edits, moves_away

FILES, HOMES, CRON, MODES, GONE = (
    "files",
    "home folders",
    "cron and at",
    "owners and modes",
    "files that are gone",
)
CONFFILES = "changed files of packages"
_CRON = "* * * * * root true"
_CERTIFICATE = "-----BEGIN CERTIFICATE-----\nZHJpbGw=\n-----END CERTIFICATE-----"

CHANGES = {
    # Jobs of cron and at.
    "cron.d": adds("/etc/cron.d/evil", _CRON, row=CRON, review="F4: cron.d"),
    "cron-under-a-package's-name": adds("/etc/cron.d/anacron", _CRON, row=CRON),
    "cron.daily": adds("/etc/cron.daily/evil", "#!/bin/sh", mode="0755", row=CRON, review="F4: cron.daily"),
    "cron.hourly": adds("/etc/cron.hourly/evil", "#!/bin/sh", mode="0755", row=CRON),
    "crontab-edited": edits("/etc/crontab", _CRON, row=CRON),
    "crontab-of-root": Change(
        CRON,
        "echo '* * * * * true' | crontab -",
        ("/var/spool/cron/crontabs/root",),
        "crontab -r",
        # The group crontab may write this folder.
        theirs=True,
        review="F4: crontab",
    ),
    "crontab-of-a-service": Change(
        CRON,
        "echo '* * * * * true' | crontab -u www-data -",
        ("/var/spool/cron/crontabs/www-data",),
        "crontab -u www-data -r",
        theirs=True,
    ),
    "at": adds("/var/spool/cron/atjobs/a0000102030405", "#!/bin/sh", mode="0700", row=CRON, review="F4: at"),
    "anacrontab": adds("/etc/anacrontab", "1 5 drill true", row=CRON),
    # Files that run in every process, at every login or at boot.
    "ld.so.preload": Change(
        FILES,
        "ldconfig -p | awk '/libm.so.6/ {print $NF; exit}' > /etc/ld.so.preload",
        ("/etc/ld.so.preload",),
        "rm /etc/ld.so.preload",
        paste=True,
        review="F4: ld.so.preload",
    ),
    "ld.so.conf.d": adds("/etc/ld.so.conf.d/drill.conf", "/opt/drill/lib", row=FILES),
    "pam-line": edits(
        "/etc/pam.d/su", "session optional pam_permit.so", row=CONFFILES, review="F4: a PAM line"
    ),
    "pam-line-of-all": edits("/etc/pam.d/common-session", "session optional pam_permit.so", row=FILES),
    "pam-service": adds("/etc/pam.d/drill", "auth sufficient pam_permit.so", row=FILES),
    "rc.local": adds("/etc/rc.local", "#!/bin/sh", mode="0755", row=FILES, review="F4: rc.local"),
    "init.d": adds("/etc/init.d/drill", "#!/bin/sh", mode="0755", row=FILES),
    "profile.d": adds("/etc/profile.d/evil.sh", "true", row=FILES, review="F4: profile.d"),
    "profile": edits("/etc/profile", "true", row=FILES),
    "bash.bashrc": edits("/etc/bash.bashrc", "true", row=CONFFILES),
    "environment": edits("/etc/environment", "DRILL=1", row=FILES),
    "motd": adds("/etc/update-motd.d/99-drill", "#!/bin/sh", mode="0755", row=FILES),
    "bashrc-of-root": edits("/root/.bashrc", "true", row=HOMES, review="F4: .bashrc"),
    "bashrc-of-a-declared-user": edits("/home/deploy/.bashrc", "true", row=HOMES, theirs=True),
    "bash_profile": adds("/home/deploy/.bash_profile", "true", row=HOMES, theirs=True),
    # A pattern over the line would take its operands from this target.
    "target-like-the-end-of-a-line": Change(
        HOMES,
        "cd /home/deploy; mkdir -p .local/bin; ln -s 'x, not as /etc/shadow has it' .local/bin/foo;"
        " chown -hR deploy: .local",
        ("/home/deploy/.local/bin/foo", 'link to "x, not as /etc/shadow has it"'),
        "cd /home/deploy; rm .local/bin/foo; rmdir -p --ignore-fail-on-non-empty .local/bin",
        theirs=True,
    ),
    "skeleton": edits("/etc/skel/.profile", "true", row=CONFFILES),
    "docker-client": adds("/root/.docker/config.json", "{}", row=HOMES),
    "tool-in-root's-home": adds("/root/bin/drill", "#!/bin/sh", mode="0755", row=HOMES),
    # Files for host names, the resolver and the network.
    "hosts": edits("/etc/hosts", "192.0.2.1 updates.example.com", row=FILES, review="F4: hosts"),
    "resolv.conf": edits("/etc/resolv.conf", "options timeout:2", row=FILES, review="F4: resolv.conf"),
    "nsswitch.conf": edits("/etc/nsswitch.conf", "# by hand", row=FILES),
    "gai.conf": edits("/etc/gai.conf", "# by hand", row=CONFFILES),
    "hosts.allow": edits("/etc/hosts.allow", "ALL: ALL", row=FILES),
    "networkd": adds("/etc/systemd/network/10-drill.network", "[Match]", row=FILES),
    "interfaces.d": adds("/etc/network/interfaces.d/drill", "# by hand", row=FILES),
    # Files for the kernel and devices.
    "modprobe.d": adds(
        "/etc/modprobe.d/drill.conf", "install drill /bin/true", row=FILES, review="F4: modprobe.d"
    ),
    "modules-load.d": adds(
        "/etc/modules-load.d/drill.conf", "# drill", row=FILES, review="F4: modules-load.d"
    ),
    "sysctl.d": adds(
        "/etc/sysctl.d/10-drill.conf", "# net.ipv4.ip_forward = 1", row=FILES, review="F4: sysctl.d"
    ),
    "sysctl.d-at-run-time": adds("/run/sysctl.d/drill.conf", "# drill", row=FILES),
    "udev": adds("/etc/udev/rules.d/99-drill.rules", "# drill", row=FILES, review="F4: udev"),
    "udev-of-/usr/local": adds("/usr/local/lib/udev/rules.d/99-drill.rules", "# drill", row=FILES),
    "udev-until-the-next-boot": adds("/run/udev/rules.d/99-drill.rules", "# drill", row=FILES),
    "fstab": edits("/etc/fstab", "tmpfs /mnt tmpfs noauto 0 0", row=FILES),
    "crypttab": adds("/etc/crypttab", "# drill", row=FILES),
    "tmpfiles.d": adds("/etc/tmpfiles.d/drill.conf", "# drill", row=FILES),
    "sysusers.d": adds("/etc/sysusers.d/drill.conf", "# drill", row=FILES),
    "environment.d": adds("/etc/environment.d/drill.conf", "DRILL=1", row=FILES),
    "settings-of-systemd": adds("/etc/systemd/system.conf.d/drill.conf", "[Manager]", row=FILES),
    # Files that other programs read.
    "logrotate.d": adds("/etc/logrotate.d/drill", "# drill", row=FILES),
    "certbot-hook": adds(
        "/etc/letsencrypt/renewal-hooks/deploy/50-drill", "#!/bin/sh", mode="0755", row=FILES
    ),
    "needrestart": adds("/etc/needrestart/conf.d/drill.conf", "1;", row=FILES),
    "ca-file": adds(
        "/usr/local/share/ca-certificates/drill.crt",
        _CERTIFICATE,
        row=FILES,
        review="F4: a CA file",
        # A further line can say that the bundle lacks this certificate.
        may=(("/etc/ssl/certs/ca-certificates.crt",),),
    ),
    "ca-in-certs": adds("/etc/ssl/certs/drill.pem", _CERTIFICATE, row=FILES),
    "ca-in-the-bundle": edits("/etc/ssl/certs/ca-certificates.crt", "# by hand", row=FILES),
    "private-key": adds("/etc/ssl/private/drill.key", "no key", mode="0600", row=FILES),
    "docker-settings-by-hand": adds("/etc/docker/certs.d/registry/ca.crt", _CERTIFICATE, row=FILES),
    "login.defs": edits("/etc/login.defs", "# by hand", row=CONFFILES),
    "timezone": Change(
        FILES,
        f"mkdir -p {KEPT}; cp -a /etc/localtime {KEPT}/localtime; "
        "ln -sfn /usr/share/zoneinfo/Asia/Kathmandu /etc/localtime",
        ("/etc/localtime", "/usr/share/zoneinfo/Asia/Kathmandu"),
        f"cp -a --remove-destination {KEPT}/localtime /etc/localtime",
    ),
    "alternative-linked-elsewhere": Change(
        FILES,
        "ln -sfn /usr/bin/env /etc/alternatives/which",
        ("/etc/alternatives/which", "/usr/bin/env"),
        "update-alternatives --auto which >/dev/null",
    ),
    "alternative-chosen": Change(
        FILES,
        "update-alternatives --set awk /usr/bin/mawk >/dev/null",
        ("/etc/alternatives/awk",),
        "update-alternatives --auto awk >/dev/null",
    ),
    # The new alternative has the highest priority, so it is used without a choice.
    "alternative-installed": Change(
        FILES,
        "install -m 755 /bin/true /var/lib/drill-pager;"
        " update-alternatives --install /usr/bin/pager pager /var/lib/drill-pager 999 >/dev/null",
        ("/etc/alternatives/pager", "/var/lib/drill-pager"),
        "update-alternatives --remove pager /var/lib/drill-pager >/dev/null; rm /var/lib/drill-pager",
    ),
    # Unusual kinds and places of files.
    "file-in-etc": adds("/etc/drill.conf", "x", row=FILES),
    "hidden-file": adds("/etc/.drill", "x", row=FILES),
    "copy-of-a-packaged-file": Change(
        CRON,
        "cp -p /etc/cron.daily/dpkg /etc/cron.daily/drill-copy",
        ("/etc/cron.daily/drill-copy",),
        "rm /etc/cron.daily/drill-copy",
    ),
    "name-with-a-line-end": Change(
        FILES,
        "touch \"$(printf '/etc/drill\\nodd')\"",
        ("/etc/drill?odd",),
        "rm \"$(printf '/etc/drill\\nodd')\"",
    ),
    "link": Change(
        FILES, "ln -s /srv/x /etc/drill-link", ("/etc/drill-link", "/srv/x"), "rm /etc/drill-link"
    ),
    "pipe": Change(FILES, "mkfifo /etc/drill-pipe", ("/etc/drill-pipe",), "rm /etc/drill-pipe"),
    "opt": adds("/opt/drill/run", "#!/bin/sh", mode="0755", row=FILES),
    "large-file": Change(
        FILES,
        "head -c 20000000 /dev/zero > /opt/drill-large",
        ("/opt/drill-large",),
        "rm /opt/drill-large",
    ),
    "folder-of-many": Change(
        FILES,
        "mkdir -p /usr/local/share/drill; for n in $(seq 300); do echo x > /usr/local/share/drill/$n; done",
        ("/usr/local/share/drill", "300"),
        "rm -r /usr/local/share/drill",
        paste=True,
    ),
    "wrapper": adds(
        "/usr/local/bin/wget",
        "#!/bin/sh\nexec /usr/bin/wget",
        mode="0755",
        row=FILES,
        review="F4: a wrapper in /usr/local/bin",
    ),
    "tool-of-root's-path": adds("/usr/local/sbin/drill", "#!/bin/sh", mode="0755", row=FILES),
    "python-path": adds("/usr/local/lib/python3.13/dist-packages/drill.pth", "import os", row=FILES),
    "library": adds("/usr/local/lib/libdrill.so", "x", row=FILES),
    "file-of-ours-gone": Change(
        FILES,
        f"mkdir -p {KEPT}; mv /etc/systemd/journald.conf.d/50-portcullis.conf {KEPT}/journald",
        ("/etc/systemd/journald.conf.d/50-portcullis.conf",),
        f"cp -p {KEPT}/journald /etc/systemd/journald.conf.d/50-portcullis.conf;"
        " systemctl restart systemd-journald",
        stays=False,
        may=(("systemd-journald.service",),),
    ),
    # Removed files of packages.
    "conffile-gone": moves_away("/etc/logrotate.d/apt", row=GONE),
    "file-of-the-machine-gone": moves_away("/etc/hosts.deny", row=GONE),
    # Files that programs of packages made.
    "copy-gone": moves_away(
        "/etc/profile",
        row=GONE,
        shown=("/etc/profile", "is missing", "cp -p /usr/share/base-files/profile /etc/profile"),
        paste=True,
        apart="another change edits the same file",
    ),
    "message-of-the-day-gone": moves_away(
        "/etc/motd", row=GONE, shown=("/etc/motd", "is missing", "/usr/share/base-files/motd"), paste=True
    ),
    "shells-gone": moves_away("/etc/shells", row=GONE, shown=("/etc/shells", "debianutils makes it")),
    "link-of-an-alternative-gone": Change(
        GONE,
        "rm /etc/alternatives/rmt",
        ("/etc/alternatives/rmt", "update-alternatives --auto rmt"),
        "update-alternatives --auto rmt >/dev/null 2>&1",
        paste=True,
    ),
    # Owners and modes of files.
    "mode-of-passwd": changes_mode("/etc/passwd", "0666", "0644", row=MODES),
    "mode-of-shadow": changes_mode("/etc/shadow", "0644", "0640", row=MODES),
    "mode-of-a-folder": changes_mode("/etc/cron.weekly", "0777", "0755", row=MODES),
    "mode-of-a-conffile": changes_mode("/etc/debconf.conf", "0666", "0644", row=MODES),
    "owner": Change(
        MODES,
        "chown daemon /etc/hostname",
        ("/etc/hostname", "daemon:root"),
        "chown root /etc/hostname",
    ),
    "override-by-hand": Change(
        MODES,
        "dpkg-statoverride --update --add root root 0666 /etc/deluser.conf",
        ("/etc/deluser.conf", "0666"),
        "dpkg-statoverride --remove /etc/deluser.conf; chmod 0644 /etc/deluser.conf",
    ),
    "diversion": Change(
        CONFFILES,
        "dpkg-divert --quiet --local --rename --add /etc/logrotate.d/dpkg",
        ("/etc/logrotate.d/dpkg",),
        "dpkg-divert --quiet --local --rename --remove /etc/logrotate.d/dpkg",
        may=(("/etc/logrotate.d/dpkg.distrib",),),
    ),
}
