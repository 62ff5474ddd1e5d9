"""Changes by hand of accounts, keys, sudo and sshd."""

from __future__ import annotations

from tests.e2e.inventory.changes.change import KEPT, PASSWORD, Change, adds, edits, key, moves_away

ACCOUNTS, KEYS, ADMINISTRATORS, SSH = "accounts", "keys", "administrators", "SSH server"
_RELOAD = "systemctl reload ssh"


def _password(account: str, word: str = PASSWORD) -> tuple[str, str]:
    """Return a command that sets the password field of an account, and a command that restores it."""
    saved = f"{KEPT}/password-{account}"
    keeps = f"mkdir -p {KEPT}; getent shadow {account} | cut -d: -f2 > {saved}"
    return f"{keeps}; usermod -p '{word}' {account}", f'usermod -p "$(cat {saved})" {account}'


def _key(account: str, group: str, home: str, comment: str, name: str = "authorized_keys") -> tuple[str, str]:
    """Return a command that adds a key to an account, and a command that removes the key."""
    file = f"{home}/.ssh/{name}"
    folder = f"install -d -m 700 -o {account} -g {group} {home}/.ssh"
    does = f"{folder}; echo '{key(comment)}' >> {file}; chown {account}:{group} {file}; chmod 600 {file}"
    return does, f"sed -i /{comment}/d {file}; [ -s {file} ] || rm {file}"


# A pattern over the line would take its operands from this comment.
_END_OF_LINE = "x, in /etc/passwd (changed 2026-11-27T08:00:12Z, who: unknown)"
_ROOT_KEY = _key("root", "root", "/root", "stranger@of-root")
_DEPLOY_KEY = _key("deploy", "deploy", "/home/deploy", "stranger@of-deploy")
_SECOND_FILE = _key("deploy", "deploy", "/home/deploy", "stranger@second-file", "authorized_keys2")
_SERVICE_KEY = _key("www-data", "www-data", "/var/www", "stranger@of-www-data")
_EVE_KEY = _key("eve", "eve", "/home/eve", "eve@laptop")
_ROOT_PASSWORD, _NEWS_PASSWORD = _password("root"), _password("news")
_NO_PASSWORD = f"mkdir -p {KEPT}; getent shadow irc | cut -d: -f2 > {KEPT}/password-irc; passwd -qd irc"

CHANGES = {
    "key-of-root": Change(
        KEYS,
        _ROOT_KEY[0],
        ("root", "stranger@of-root"),
        _ROOT_KEY[1],
        stays=False,
        review="F4: root's authorized_keys",
    ),
    "key-of-a-declared-user": Change(
        KEYS,
        _DEPLOY_KEY[0],
        ("deploy", "stranger@of-deploy"),
        _DEPLOY_KEY[1],
        stays=False,
    ),
    "second-file-of-keys": Change(
        KEYS,
        _SECOND_FILE[0],
        ("deploy", "/home/deploy/.ssh/authorized_keys2"),
        _SECOND_FILE[1],
        stays=False,
        review="F4: authorized_keys2 of declared users",
    ),
    "key-of-an-account-without-shell": Change(
        KEYS,
        _SERVICE_KEY[0],
        ("www-data SHA256", '"stranger@of-www-data", in /var/www/.ssh/authorized_keys'),
        _SERVICE_KEY[1],
        theirs=True,
    ),
    "comment-like-the-end-of-a-line": Change(
        KEYS,
        f"install -d -m 700 -o backup -g backup /var/backups/.ssh; echo '{key(_END_OF_LINE)}'"
        " > /var/backups/.ssh/authorized_keys; chown backup: /var/backups/.ssh/authorized_keys",
        ("backup SHA256", f'"{_END_OF_LINE}"', "in /var/backups/.ssh/authorized_keys"),
        "rm -r /var/backups/.ssh",
        theirs=True,
    ),
    "account-with-a-key": Change(
        ACCOUNTS,
        f"useradd -m -s /bin/bash eve; {_EVE_KEY[0]}",
        ("eve", "shell /bin/bash, no password"),
        "userdel -r eve 2>/dev/null",
        also=(("eve", "eve@laptop"),),  # two lines, because the account and its key are two ways to log in
        review="F4: a new user with a key",
    ),
    "account-with-a-password": Change(
        ACCOUNTS,
        f"useradd -M -s /bin/sh -p '{PASSWORD}' carol",
        ("carol", "a password"),
        "userdel carol",
        paste=True,
    ),
    "root-password": Change(
        ACCOUNTS,
        _ROOT_PASSWORD[0],
        ("root", "a password, was: uid 0, shell /bin/bash, no password"),
        _ROOT_PASSWORD[1],
        review="F4: root's password set",
    ),
    "password-of-a-system-account": Change(
        ACCOUNTS,
        _NEWS_PASSWORD[0],
        ("news", "a password"),
        _NEWS_PASSWORD[1],
    ),
    "empty-password": Change(
        ACCOUNTS,
        _NO_PASSWORD,
        ("irc", "EMPTY"),
        f'usermod -p "$(cat {KEPT}/password-irc)" irc',
    ),
    "shell-of-a-system-account": Change(
        ACCOUNTS,
        "usermod -s /bin/bash list",
        ("list", "/bin/bash"),
        "usermod -s /usr/sbin/nologin list",
    ),
    "group-of-root": Change(
        ACCOUNTS,
        "usermod -g root uucp",
        ("uucp", "root's group"),
        "usermod -g uucp uucp",
    ),
    "member-of-adm": Change(
        ACCOUNTS,
        "gpasswd -a backup adm >/dev/null",
        ("group adm: backup", "reads the system's logs"),
        "gpasswd -d backup adm >/dev/null",
        paste=True,
    ),
    "member-of-shadow": Change(
        ACCOUNTS,
        "gpasswd -a lp shadow >/dev/null",
        ("shadow", "lp"),
        "gpasswd -d lp shadow >/dev/null",
    ),
    "password-of-a-group": Change(
        ACCOUNTS,
        f"mkdir -p {KEPT}; getent gshadow staff | cut -d: -f2 > {KEPT}/gshadow;"
        f" groupmod -p '{PASSWORD}' staff",
        ("staff", "password"),
        f'groupmod -p "$(cat {KEPT}/gshadow)" staff',
    ),
    "linger": Change(
        ACCOUNTS,
        "loginctl enable-linger deploy",
        ("linger deploy",),
        "loginctl disable-linger deploy",
        paste=True,
        review="F4: linger",
    ),
    "second-root": Change(
        ADMINISTRATORS,
        "useradd -o -u 0 -M -s /bin/bash toor",
        ("toor", "root"),
        "userdel -f toor",
        stays=False,
        review="F4: a second uid 0",
    ),
    "sudoers": Change(
        ADMINISTRATORS,
        "echo 'mallory ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/mallory; chmod 440 /etc/sudoers.d/mallory",
        ("/etc/sudoers.d/mallory", "gives root rights", "up removes it"),
        "rm /etc/sudoers.d/mallory",
        stays=False,
        review="F4: sudoers",
    ),
    # sudo ignores a file whose name has a dot, until somebody renames the file.
    "sudoers-asleep": adds(
        "/etc/sudoers.d/later.off",
        "games ALL=(ALL) NOPASSWD: ALL",
        mode="0440",
        row=ADMINISTRATORS,
    ),
    "member-of-docker": Change(
        ADMINISTRATORS,
        "gpasswd -a games docker >/dev/null",
        ("games", "docker"),
        "gpasswd -d games docker >/dev/null",
        stays=False,
        review="F4: members of docker",
    ),
    "sshd-block-before-ours": adds(
        "/etc/ssh/sshd_config.d/00-drill.conf",
        "Match User games\n    AllowTcpForwarding yes",
        row=SSH,
        after=_RELOAD,
        review="F4: sshd Match blocks that come before ours",
    ),
    "sshd-block-after-ours": adds(
        "/etc/ssh/sshd_config.d/zz-drill.conf",
        "Match User games\n    X11Forwarding yes",
        row=SSH,
        after=_RELOAD,
        shown=(
            "/etc/ssh/sshd_config.d/zz-drill.conf",
            "nobody declared it; sets x11forwarding yes for Match User games",
        ),
        review="F4: an sshd Match after ours that enables X11",
    ),
    "sshd-config-edited": edits(
        "/etc/ssh/sshd_config",
        "Match User games\n    X11Forwarding yes",
        row=SSH,
        shown=(
            "/etc/ssh/sshd_config",
            "changed by hand: not as its package brings it; sets x11forwarding yes",
        ),
        paste=True,
    ),
    "sshd-config-gone": moves_away(
        "/etc/ssh/sshd_config",
        row=SSH,
        shown=("/etc/ssh/sshd_config", "gone; its package brings it; sshd does not start without it"),
        may=(("sshd", "refused"),),
        paste=True,
        apart="another change edits the same file",
    ),
    "sshd-on-a-second-port": adds(
        "/etc/ssh/sshd_config.d/05-drill.conf",
        "Port 2222",
        row=SSH,
        after=_RELOAD,
        shown=("tcp4 0.0.0.0:2222", "ssh.service listens"),
        also=(("tcp6 [::]:2222", "ssh.service listens"),),
        may=(("sshd",), ("/etc/ssh/sshd_config.d/05-drill.conf",)),
        paste=False,
        apart="another change of sshd shows in the same line",
    ),
    "sshrc": adds("/etc/ssh/sshrc", "# runs at each login", row="files", review="F4: sshrc"),
    "ssh-rc-of-root": adds("/root/.ssh/rc", "# runs when root logs in", row="home folders"),
    "ssh-environment": adds(
        "/home/deploy/.ssh/environment", "LD_PRELOAD=/tmp/x.so", row="home folders", theirs=True
    ),
    "ssh-client": adds("/etc/ssh/ssh_config.d/50-drill.conf", "# for outgoing logins", row="files"),
    "host-key": adds("/etc/ssh/ssh_host_drill_key", "no key", mode="0600", row="files"),
}
