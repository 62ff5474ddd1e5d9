"""Changes by hand of nginx, fail2ban and the firewall, opened ports, and files of Portcullis."""

from __future__ import annotations

from tests.e2e.inventory.changes.change import KEPT, Change, adds, edits, kept, moves_away

NGINX, BANS, FIREWALL, OPEN, OURS = "nginx", "fail2ban", "firewall", "what is open", "files of ours"
_RELOAD = "systemctl reload nginx"
_NGINX_CONF = "/etc/nginx/nginx.conf"
_SITE = "/etc/nginx/conf.d/hello.example.com.conf"


def _server(name: str) -> str:
    return f"server {{ listen 80; server_name {name}; return 200 evil; }}"


def _listens(place: str, opens: str) -> Change:
    """Return a change that starts a Python program, outside of any service, which listens at a place."""
    port = place.rpartition(":")[2]
    return Change(
        OPEN,
        f'setsid -f python3 -c "import socket, time; {opens}; time.sleep(99999)" >/dev/null 2>&1 </dev/null;'
        f" for n in $(seq 600); do ss -lntuH 'sport = {port}' | grep -q . && break; sleep 0.1; done",
        (place, 'process "python3" (root) listens'),
        f"kill $(ss -lntupH 'sport = {port}' | sed 's/.*pid=//; s/,.*//')",
    )


CHANGES = {
    "virtual-host": adds(
        "/etc/nginx/conf.d/evil.conf",
        _server("evil.example.com"),
        row=NGINX,
        after=_RELOAD,
        shown=(
            "/etc/nginx/conf.d/evil.conf",
            "nobody declared it; nginx loads it: serves evil.example.com on 80",
        ),
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
    "virtual-host-on-another-port": adds(
        "/etc/nginx/conf.d/drill-port.conf",
        "server { listen 8088; }",
        row=NGINX,
        after=_RELOAD,
        also=(("tcp4 0.0.0.0:8088", "nginx.service listens"),),
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
    "site-of-ours-changed": Change(
        OURS,
        f"mkdir -p {KEPT}; cp -p {_SITE} {kept(_SITE)}; sed -i 's|location / {{|& return 417;|' {_SITE};"
        f" chmod 0666 {_SITE}; chown www-data:adm {_SITE}; {_RELOAD}",
        (_SITE, "text differs — up fixes it"),
        f"cp -p {kept(_SITE)} {_SITE}; {_RELOAD}",
        also=(
            (_SITE, "mode 0666, declared 0644"),
            (_SITE, "owner www-data, declared root"),
            (_SITE, "group adm, declared root"),
        ),
        stays=False,
    ),
    "rights-of-nginx.conf": Change(
        NGINX,
        f"chmod 777 {_NGINX_CONF}; chown games {_NGINX_CONF}",
        (_NGINX_CONF, "belongs to games:root, mode 0777, where 0644 is usual"),
        f"chmod 644 {_NGINX_CONF}; chown root {_NGINX_CONF}",
        paste=True,
        review="U1: chmod 777 /etc/nginx/nginx.conf",
    ),
    "nginx.conf-edited": Change(
        NGINX,
        f"mkdir -p {KEPT}; cp -p {_NGINX_CONF} {KEPT}/nginx.conf;"
        f" sed -i 's/worker_connections .*/worker_connections 5;/' {_NGINX_CONF}",
        (_NGINX_CONF, "changed by hand: not as nginx-common brings it"),
        f"cat {KEPT}/nginx.conf > {_NGINX_CONF}; {_RELOAD}",
        may=(("worker_connections",),),
        paste=True,
        apart="another change sets the mode of the same file",
        review="U1: worker_connections 5; in nginx.conf",
    ),
    "nginx.conf-by-a-link": Change(
        NGINX,
        f"mkdir -p {KEPT}; mv {_NGINX_CONF} {KEPT}/; ln -s {KEPT}/nginx.conf {_NGINX_CONF}",
        (_NGINX_CONF, f'a link, where nginx-common brings a file, to "{KEPT}/nginx.conf"'),
        f"rm {_NGINX_CONF}; mv {KEPT}/nginx.conf {_NGINX_CONF}",
        paste=True,
        apart="another change sets the mode of the same file",
    ),
    "nginx.conf-gone": moves_away(
        _NGINX_CONF,
        row=NGINX,
        shown=(_NGINX_CONF, "gone; nginx-common brings it"),
        may=(("nginx", "open()"),),
        paste=True,
        apart="another change sets the mode of the same file",
    ),
    "file-of-nginx-gone": moves_away(
        "/etc/nginx/koi-utf",
        row=NGINX,
        shown=("/etc/nginx/koi-utf", "gone; nginx-common brings it"),
        paste=True,
    ),
    "module-of-nginx": adds("/etc/nginx/modules-enabled/99-drill.conf", "# drill", row=NGINX),
    "types-of-nginx": edits(
        "/etc/nginx/mime.types",
        "# by hand",
        row=NGINX,
        shown=("/etc/nginx/mime.types", "changed by hand: not as nginx-common brings it"),
        paste=True,
    ),
    "jail": adds(
        "/etc/fail2ban/jail.d/drill.local",
        "[drill]\nenabled = false",
        row=BANS,
        shown=("/etc/fail2ban/jail.d/drill.local", "nobody declared it; sets [drill]"),
        review="F4: a jail file",
    ),
    "jails-of-all": adds("/etc/fail2ban/jail.local", "[DEFAULT]", row=BANS),
    "action": adds("/etc/fail2ban/action.d/drill.conf", "[Definition]", row=BANS),
    "filter-edited": edits(
        "/etc/fail2ban/filter.d/sshd.conf",
        "# by hand",
        row=BANS,
        shown=("/etc/fail2ban/filter.d/sshd.conf", "changed by hand: not as fail2ban brings it"),
        paste=True,
    ),
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
        ("ufw", "9999/tcp allowed — up removes it"),
        "ufw delete allow 9999/tcp >/dev/null",
        follows=(("9999/tcp", "open to anywhere"),),
        stays=False,
    ),
    "filter-of-containers-gone": Change(
        FIREWALL,
        "nft delete table inet portcullis",
        ("forward filter", "up loads it"),
        "systemctl reload-or-restart portcullis-filter",
        follows=(("any routed", "the filter inet portcullis is not loaded"),),
        stays=False,
    ),
    "rule-of-iptables": Change(
        FIREWALL,
        "iptables -I INPUT -p tcp --dport 3307 -j ACCEPT",
        ("ufw", "iptables", "3307"),
        "iptables -D INPUT -p tcp --dport 3307 -j ACCEPT",
        follows=(("iptables INPUT: -p tcp -m tcp --dport 3307 -j ACCEPT", "accepts before ufw"),),
        stays=False,
    ),
    "redirection-of-iptables": Change(
        OPEN,
        "iptables -t nat -I PREROUTING -p tcp --dport 8079 -j REDIRECT --to-ports 22",
        ("iptables nat PREROUTING: -p tcp -m tcp --dport 8079 -j REDIRECT --to-ports 22",),
        "iptables -t nat -D PREROUTING -p tcp --dport 8079 -j REDIRECT --to-ports 22",
    ),
    "table-of-nftables": Change(
        OPEN,
        "nft add table inet mine; nft add chain inet mine in '{ type filter hook input priority -5; }';"
        " nft add rule inet mine in tcp dport 3308 accept",
        ("nft inet mine in: tcp dport 3308 accept",),
        "nft delete table inet mine",
    ),
    "listener": _listens("tcp4 0.0.0.0:47000", "made = socket.create_server(('0.0.0.0', 47000))"),
    "listener-of-ipv6": _listens(
        "tcp6 [::]:47001", "made = socket.create_server(('::', 47001), family=socket.AF_INET6)"
    ),
    "listener-of-udp": _listens(
        "udp4 0.0.0.0:5353", "made = socket.socket(type=socket.SOCK_DGRAM); made.bind(('0.0.0.0', 5353))"
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
