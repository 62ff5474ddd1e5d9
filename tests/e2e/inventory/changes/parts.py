"""Changes by hand of nginx, fail2ban and the firewall, opened ports, and files of Portcullis."""

from __future__ import annotations

from tests.e2e.inventory.changes.change import KEPT, Change, adds, changes_mode, edits

NGINX, BANS, FIREWALL, OPEN, OURS = "nginx", "fail2ban", "firewall", "what is open", "files of ours"
_RELOAD = "systemctl reload nginx"
_NGINX_CONF = "/etc/nginx/nginx.conf"


def _server(name: str) -> str:
    return f"server {{ listen 80; server_name {name}; return 200 evil; }}"


CHANGES = {
    "virtual-host": adds(
        "/etc/nginx/conf.d/evil.conf",
        _server("evil.example.com"),
        row=NGINX,
        after=_RELOAD,
        shown=("/etc/nginx/conf.d/evil.conf", "evil.example.com"),
        review="F4: a working virtual host in conf.d",
    ),
    "virtual-host-of-sites-enabled": adds(
        "/etc/nginx/sites-enabled/evil",
        _server("other-evil.example.com"),
        row=NGINX,
        after=_RELOAD,
        shown=("/etc/nginx/sites-enabled/evil", "other-evil.example.com"),
        review="F4: a working virtual host in sites-enabled",
    ),
    "virtual-host-by-a-link": Change(
        NGINX,
        f"echo '{_server('linked.example.com')}' > /var/lib/drill-site;"
        f" ln -s /var/lib/drill-site /etc/nginx/sites-enabled/linked; {_RELOAD}",
        ("/etc/nginx/sites-enabled/linked", "linked.example.com"),
        f"rm /etc/nginx/sites-enabled/linked /var/lib/drill-site; {_RELOAD}",
    ),
    "broken-virtual-host": adds(
        "/etc/nginx/conf.d/broken.conf",
        "server { listne 80; }",
        row=NGINX,
        shown=("/etc/nginx/conf.d/broken.conf",),
        undone=f"rm /etc/nginx/conf.d/broken.conf; {_RELOAD}",
        # nginx's error is a line of its own, beside the line of the undeclared file.
        also=(("nginx", "unknown directive"),),
        apart="with it nginx accepts no other change",
        review="F7: a vhost that breaks nginx -t",
    ),
    "site-of-ours-edited": edits(
        "/etc/nginx/conf.d/hello.example.com.conf",
        "# by hand",
        row=OURS,
        after=_RELOAD,
        stays=False,
    ),
    "mode-of-nginx.conf": changes_mode(
        _NGINX_CONF,
        "0777",
        "0644",
        row=NGINX,
        review="U1: chmod 777 /etc/nginx/nginx.conf",
    ),
    "nginx.conf-edited": Change(
        NGINX,
        f"mkdir -p {KEPT}; cp -p {_NGINX_CONF} {KEPT}/nginx.conf;"
        f" sed -i 's/worker_connections .*/worker_connections 5;/' {_NGINX_CONF}",
        (_NGINX_CONF,),
        f"cat {KEPT}/nginx.conf > {_NGINX_CONF}; {_RELOAD}",
        may=(("worker_connections",),),
        apart="another change sets the mode of the same file",
        review="U1: worker_connections 5; in nginx.conf",
    ),
    "module-of-nginx": adds("/etc/nginx/modules-enabled/99-drill.conf", "# drill", row=NGINX),
    "types-of-nginx": edits("/etc/nginx/mime.types", "# by hand", row=NGINX),
    "jail": adds(
        "/etc/fail2ban/jail.d/drill.local",
        "[drill]\nenabled = false",
        row=BANS,
        review="F4: a jail file",
    ),
    "jails-of-all": adds("/etc/fail2ban/jail.local", "[DEFAULT]", row=BANS),
    "action": adds("/etc/fail2ban/action.d/drill.conf", "[Definition]", row=BANS),
    "filter-edited": edits("/etc/fail2ban/filter.d/sshd.conf", "# by hand", row=BANS),
    "before.rules": Change(
        FIREWALL,
        f"mkdir -p {KEPT}; cp -p /etc/ufw/before.rules {KEPT}/before.rules;"
        " sed -i 's/^COMMIT/-A ufw-before-input -p tcp --dport 31337 -j ACCEPT\\n&/' /etc/ufw/before.rules",
        ("ufw", "before.rules"),
        f"cat {KEPT}/before.rules > /etc/ufw/before.rules",
        stays=False,
        may=(("ufw", "lacks", "31337"),),  # this line shows until ufw loads the file
        review="F4: ufw's before.rules",
    ),
    "rule-of-ufw": Change(
        FIREWALL,
        "ufw allow 9999/tcp >/dev/null",
        ("ufw", "9999/tcp"),
        "ufw delete allow 9999/tcp >/dev/null",
        stays=False,
    ),
    "filter-of-containers-gone": Change(
        FIREWALL,
        "nft delete table inet portcullis",
        ("forward filter",),
        "systemctl reload-or-restart portcullis-filter",
        stays=False,
    ),
    "rule-of-iptables": Change(
        FIREWALL,
        "iptables -I INPUT -p tcp --dport 3307 -j ACCEPT",
        ("ufw", "iptables", "3307"),
        "iptables -D INPUT -p tcp --dport 3307 -j ACCEPT",
        stays=False,
    ),
    "table-of-nftables": Change(
        OPEN,
        "nft add table inet mine; nft add chain inet mine in '{ type filter hook input priority -5; }';"
        " nft add rule inet mine in tcp dport 3308 accept",
        ("nft", "3308"),
        "nft delete table inet mine",
    ),
    "listener": Change(
        OPEN,
        f"mkdir -p {KEPT}; cd {KEPT}; setsid -f python3 -m http.server 47000 >/dev/null 2>&1 </dev/null;"
        " for n in $(seq 600); do ss -ltn | grep -q :47000 && break; sleep 0.1; done",
        ("0.0.0.0:47000",),
        "kill $(ss -ltnpH 'sport = 47000' | sed 's/.*pid=//; s/,.*//')",
    ),
    "settings-of-docker": Change(
        OURS,
        f"mkdir -p {KEPT}; cp -p /etc/docker/daemon.json {KEPT}/daemon.json;"
        ' sed -i \'s/"icc": false/"icc": true/\' /etc/docker/daemon.json',
        ("/etc/docker/daemon.json",),
        f"cat {KEPT}/daemon.json > /etc/docker/daemon.json; systemctl restart docker",
        stays=False,
        may=(("docker.service",),),
    ),
    "job-of-ours-edited": edits(
        "/etc/systemd/system/portcullis-backup.service",
        "# by hand",
        row=OURS,
        after="systemctl daemon-reload; systemctl restart portcullis-backup.timer",
        stays=False,
    ),
}
