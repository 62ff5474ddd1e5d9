"""Tests certbot's lineages: each is a certificate with its renewals.

The host is a folder with files, but a real TLS server shows the certificates.
"""

from __future__ import annotations

import dataclasses
import functools
import http.server
import shutil
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.agent.errors import AgentError
from portcullis.components.certificates import on_host as certificates
from portcullis.components.certificates import render as rendered
from portcullis.components.certificates.facts import CertificateDesired
from portcullis.components.certificates.on_host import (
    acme_precheck,
    challenge_folder,
    dns_lookup,
    lineages,
)
from portcullis.components.certificates.on_host.certbot_run import command, environment
from tests.agent.removal import Removal
from tests.components.certificates.fake_certbot import MAIN, FakeCertbot, issued
from tests.on_host import Client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from portcullis.agent.machine import Machine

NAME = "www.example.com"
SERVER = "https://acme.example/dir"
OTHER = "https://other.example/dir"
NO_ATTEMPT = "certbot's log shows no attempt; does certbot.timer run?"
UNAUTHORISED = """\
Certbot failed to authenticate some domains. The Certificate Authority reported these problems:
  Domain: www.example.com
  Type:   unauthorized
  Detail: 192.0.2.7: Invalid response from
http://www.example.com/.well-known/acme-challenge/x: 404

  Domain: api.example.com
  Type:   dns
  Detail: DNS problem: NXDOMAIN looking up A for api.example.com

Hint: The Certificate Authority failed to download the temporary challenge files.

Some challenges have failed.
Ask for help or search for solutions at https://community.letsencrypt.org.
"""


class TlsServer:
    """A TLS server on a loopback port.

    Like nginx, the server shows one certificate until it loads another certificate.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / "shown.pem"
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.context: ssl.SSLContext | None = None
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def address(self) -> tuple[str, int]:
        return self.listener.getsockname()

    def load(self, pem: bytes, key: bytes) -> None:
        self.file.write_bytes(pem + key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file)
        self.context = context

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self.listener.accept()
            except OSError:
                return
            try:
                if self.context:
                    self.context.wrap_socket(line, server_side=True).close()
            except OSError:
                pass
            finally:
                line.close()


class Host:
    """A host with certbot, nginx and an authority."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.root, self.webroot, self.nginx = (
            folder / "letsencrypt",
            folder / "acme",
            folder / "etc" / "nginx",
        )
        for made in (self.root, self.webroot, self.nginx, folder / "log"):
            made.mkdir(parents=True)
        self.certbot = FakeCertbot(self.root)
        self.server = TlsServer(folder)
        self.machine = dataclasses.replace(
            machine,
            run=self.certbot,
            etc=folder / "etc",
            letsencrypt=self.root,
            letsencrypt_logs=folder / "log",
            https=self.server.address,
            proc=folder / "proc",
        )
        self.log = folder / "log" / "letsencrypt.log"
        self.client = Client(self.machine)

    def desired(self, *also: str, **more: Any) -> dict[str, Any]:
        return {
            "lineage": NAME, "domains": dict.fromkeys([NAME, *also], "covered"), "common_name": NAME,
            "email": "ops@example.com", "server": SERVER, "ca_bundle": "", "webroot": str(self.webroot),
            "dns": "", "key_type": "ecdsa", "profile": "", "precheck": False, "unit": "nginx.service",
            "on_delete": "remove", "expiry": "fresh", "served": "this certificate", **more,
        }  # fmt: skip

    def put(self, *also: str, adopt: bool = False, **more: Any) -> dict[str, Any]:
        return self.client.on("put", "certificates", NAME, self.desired(*also, **more), adopt=adopt)

    def refused(self, *also: str, **more: Any) -> AgentError:
        return self.client.refused("put", "certificates", NAME, self.desired(*also, **more))

    def remove(self, **more: Any) -> str:
        done: str = self.client.on("remove", "certificates", NAME, self.desired(**more))["done"]
        return done

    def facts(self) -> dict[str, Any]:
        return self.client.look("certificates", NAME, {"lineage": NAME, "name": NAME})

    def there(self, age: float = 0, *, server: str = SERVER, **more: Any) -> None:
        """Make a lineage that exists before the first `up`."""
        settings = {"server": server, "authenticator": "webroot", "webroot_path": f"{self.webroot},"}
        self.certbot.write(NAME, *issued([NAME], age=age, **more), settings)

    def live(self) -> tuple[bytes, bytes]:
        folder = self.root / "live" / NAME
        return (folder / "fullchain.pem").read_bytes(), (folder / "privkey.pem").read_bytes()

    def worker(self, pid: int) -> Path:
        """Give nginx a worker, and return the worker's folder in /proc."""
        folder = self.machine.proc / str(pid)
        folder.mkdir(parents=True)
        (folder / "cmdline").write_text("nginx: worker process ")
        (folder / "stat").write_text(f"{pid} (nginx) S {MAIN} {' '.join(['0'] * 18)}\n")
        return folder

    def site(self) -> None:
        """Make nginx's configuration use the lineage, and let each reload load its present certificate."""
        (self.nginx / "site.conf").write_text(f"ssl_certificate {self.root}/live/{NAME}/fullchain.pem;\n")
        self.certbot.on_reload = lambda: self.server.load(*self.live())


@pytest.fixture
def host(machine: Machine, tmp_path: Path) -> Iterator[Host]:
    made = Host(machine, tmp_path / "host")
    yield made
    made.client.close()
    made.server.listener.close()


def test_a_certificate_is_issued_once(host: Host) -> None:
    assert host.facts() == {"exists": False}
    facts = host.put("api.example.com")["facts"]
    assert facts["domains"] == {"api.example.com": "covered", NAME: "covered"}
    assert (facts["issuer"], facts["key_type"]) == ("Example CA", "ecdsa")
    assert (facts["expiry"], facts["served"]) == ("fresh", "this certificate")
    assert host.put("api.example.com")["steps"] == []
    (order,) = host.certbot.orders
    assert "--force-renewal" not in order
    assert order[-4:] == ["-d", NAME, "-d", "api.example.com"]


def test_another_name_is_issued_in_the_same_lineage(host: Host) -> None:
    host.put()
    done = host.put("api.example.com")
    assert [(s["property"], s["have"], s["want"]) for s in done["steps"]] == [
        ("domains.api.example.com", "absent", "covered")
    ]
    assert [path.name for path in (host.root / "live").iterdir()] == [NAME]
    assert "--force-renewal" in host.certbot.orders[1]


@pytest.mark.parametrize(
    ("change", "prop"),
    [
        ({"server": OTHER}, "server"),
        ({"key_type": "rsa"}, "key_type"),
        ({"dns": "cloudflare", "dns_credentials": "/etc/dns", "dns_propagation": "7"}, "dns"),
    ],
)
def test_a_changed_setting_of_renewals_makes_certbot_issue_again(
    host: Host, change: dict[str, str], prop: str
) -> None:
    host.put()
    done = host.put(**change)
    assert done["steps"][0]["property"] == prop
    assert ("--break-my-certs" in host.certbot.orders[-1]) == (prop == "server")
    assert host.put(**change)["steps"] == []


def test_a_renewal_by_the_timer_is_no_difference(host: Host) -> None:
    before = host.put()["facts"]
    host.there()
    assert host.put()["steps"] == []
    assert host.facts() == before


@pytest.mark.parametrize(
    ("age", "days", "said"),
    [
        (59, 90, "fresh"),
        (60.9, 90, "fresh"),
        (61.1, 90, f"ends in 28 days (issued for 90 days): {NO_ATTEMPT}"),
        (89.9, 90, f"ends in 2 hours (issued for 90 days): {NO_ATTEMPT}"),
        (93.5, 90, f"expired 3 days ago: {NO_ATTEMPT}"),
        (30.9, 45, "fresh"),
        (31.1, 45, f"ends in 13 days (issued for 45 days): {NO_ATTEMPT}"),
        (3.9, 6, "fresh"),
        (4.1, 6, f"ends in 45 hours (issued for 6 days): {NO_ATTEMPT}"),
    ],
)
def test_a_certificate_that_is_due_and_was_not_renewed_is_a_difference(
    host: Host, age: float, days: float, said: str
) -> None:
    host.there(age, days=days)
    assert host.facts()["expiry"] == said


def test_expiry_holds_the_last_reason_in_the_log_for_this_lineage(host: Host) -> None:
    host.there(80)
    host.log.write_text(
        f"2026-11-01 00:00:00,000:DEBUG:certbot.display:Notifying user: \n{UNAUTHORISED}"
        f"2026-11-01 00:00:01,000:ERROR:x:Failed to renew certificate {NAME} with error: "
        "Some challenges have failed.\n"
        "2026-11-01 00:00:02,000:ERROR:x:Failed to renew certificate other.test with error: no room\n"
    )
    said = host.facts()["expiry"]
    assert said.startswith(
        "ends in 9 days (issued for 90 days): www.example.com: 192.0.2.7: Invalid response from http://www."
    )
    with host.log.open("a") as log:
        log.write(
            f"2026-11-02:ERROR:x:Failed to renew certificate {NAME} with error: ('Connection aborted.',)\n"
        )
    assert host.facts()["expiry"] == "ends in 9 days (issued for 90 days): ('Connection aborted.',)"


def test_an_update_renews_a_certificate_that_is_due(host: Host) -> None:
    host.put()
    host.there(85)
    done = host.put()
    assert done["steps"][0]["property"] == "expiry"
    assert done["facts"]["expiry"] == "fresh"


def test_an_older_certificate_on_the_server_is_a_difference_and_a_reload_ends_it(host: Host) -> None:
    host.put()
    host.site()
    host.server.load(*issued([NAME], age=20))
    assert host.facts()["served"].startswith("an older certificate of this name, until 20")
    done = host.put()
    assert [(s["property"], s["action"]) for s in done["steps"]] == [("served", "reload")]
    assert host.certbot.reloads() == 1
    assert len(host.certbot.orders) == 1
    assert host.put()["steps"] == []


def test_no_file_is_removed_until_the_reloaded_server_shows_the_certificate(host: Host) -> None:
    host.put()
    host.site()
    host.server.load(*issued([NAME], age=20))
    removal = Removal(host.machine)

    def reload() -> None:
        assert removal.order[-1] != "removed", "the file was removed while the server was reloaded"
        host.server.load(*host.live())

    host.certbot.on_reload = reload
    order = removal.during(host.client, lambda client: client.on("put", "certificates", NAME, host.desired()))
    assert "removed" in order


def test_a_certificate_for_other_names_is_a_difference_once_a_site_uses_the_lineage(host: Host) -> None:
    host.server.load(*issued(["default.test"]))
    assert host.put()["facts"]["served"] == "this certificate"
    assert host.certbot.reloads() == 0
    host.site()
    assert host.facts()["served"] == "a certificate for default.test"


def test_a_site_in_a_comment_or_not_enabled_does_not_count(host: Host) -> None:
    host.put()
    host.server.load(*issued(["default.test"]))
    line = f"ssl_certificate {host.root}/live/{NAME}/fullchain.pem;\n"
    (host.nginx / "sites-available").mkdir()
    (host.nginx / "sites-available" / "a").write_text(line)
    (host.nginx / "b.conf").write_text(f"# {line}")
    assert host.facts()["served"] == "this certificate"


def test_a_server_that_showed_the_lineage_shows_the_new_certificate_after_an_issue(host: Host) -> None:
    host.put()
    host.site()
    host.server.load(*host.live())
    done = host.put("api.example.com")
    assert done["facts"]["served"] == "this certificate"
    assert host.certbot.reloads() == 1


def test_an_issue_ends_when_nginxs_former_workers_have_exited(host: Host) -> None:
    # Until the former workers exit, a visitor can see either certificate. The check after the change saw the
    # old one.
    host.put()
    host.site()
    host.server.load(*host.live())
    former = host.worker(11)

    def reload() -> None:
        host.server.load(*host.live())
        host.worker(12)
        threading.Timer(0.3, former.rename, [former.with_name("gone")]).start()

    host.certbot.hook = reload
    host.put("api.example.com")
    assert not former.exists()
    assert host.certbot.reloads() == 0


def test_a_broken_nginx_configuration_is_reported_and_not_reloaded(host: Host) -> None:
    host.put()
    host.site()
    host.server.load(*issued([NAME], age=20))
    host.certbot.broken_nginx = 'nginx: [emerg] unknown directive "x" in /etc/nginx/a.conf:1'
    error = host.refused()
    assert "not reloaded" in error.message
    assert "unknown directive" in error.detail
    assert host.certbot.reloads() == 0


def test_an_existing_lineage_that_is_equal_is_taken_over_and_kept_on_delete(host: Host) -> None:
    host.there()
    assert host.put()["steps"] == []
    assert host.remove() == "kept"
    assert host.live()


def test_an_existing_lineage_that_differs_needs_adopt(host: Host) -> None:
    host.there(server=OTHER)
    assert host.refused().code == "differs"
    assert host.certbot.orders == []
    assert host.put(adopt=True)["facts"]["server"] == SERVER


def test_a_lineage_of_certbots_nginx_plugin_differs(host: Host) -> None:
    host.certbot.write(NAME, *issued([NAME]), {"server": SERVER, "authenticator": "nginx"})
    assert host.facts()["dns"] == "<nginx>"
    assert host.refused().prop == "dns"


def test_delete_removes_this_lineage_and_nothing_else(host: Host) -> None:
    host.put()
    host.certbot.write("other.test", *issued(["other.test"]), {"server": SERVER})
    assert host.remove() == "removed"
    assert [path.name for path in (host.root / "live").iterdir()] == ["other.test"]
    assert host.remove() == "absent"


def test_on_delete_keep_keeps_the_lineage(host: Host) -> None:
    host.put(on_delete="keep")
    assert host.remove(on_delete="keep") == "kept"
    assert host.live()


def test_a_lineage_that_a_site_still_uses_is_not_deleted(host: Host) -> None:
    host.put()
    host.site()
    error = host.client.refused("remove", "certificates", NAME, host.desired())
    assert "site.conf still uses this certificate" in error.message
    assert host.live()
    (host.nginx / "site.conf").unlink()
    assert host.remove() == "removed"


def test_the_next_put_repairs_what_a_killed_certbot_left(host: Host) -> None:
    host.certbot.killed = True
    host.refused()
    assert (host.root / "live" / NAME).is_dir()
    assert host.put()["facts"]["expiry"] == "fresh"
    assert not list(host.root.rglob("*-0001*"))
    assert host.remove() == "removed"


def test_an_existing_incomplete_lineage_needs_adopt_and_is_restored(host: Host) -> None:
    folder = host.root / "live" / NAME
    folder.mkdir(parents=True)
    (folder / "fullchain.pem").write_text("by hand\n")
    assert host.refused().code == "differs"
    assert host.put(adopt=True)["facts"]["expiry"] == "fresh"
    assert host.remove() == "restored"
    assert (folder / "fullchain.pem").read_text() == "by hand\n"


def test_an_existing_incomplete_lineage_stays_if_certbot_fails(host: Host) -> None:
    folder = host.root / "live" / NAME
    folder.mkdir(parents=True)
    (folder / "fullchain.pem").write_text("by hand\n")
    host.certbot.trouble = ["no"]
    with pytest.raises(AgentError):
        host.put(adopt=True)
    assert (folder / "fullchain.pem").read_text() == "by hand\n"


def test_a_put_waits_for_another_certbot(host: Host) -> None:
    host.certbot.trouble = ["Another instance of Certbot is already running."] * 2
    host.put()
    assert len(host.certbot.orders) == 3


LIMITED = """\
An unexpected error occurred:
Error creating new order :: too many certificates (5) already issued for this exact set of names in the \
last 168h0m0s, retry after 2026-11-27 10:00:00 UTC
Ask for help
"""
DOWN = """\
An unexpected error occurred:
requests.exceptions.ConnectionError: HTTPSConnectionPool(host='x'): Max retries exceeded (Caused by \
NewConnectionError('[Errno 111] Connection refused'))
"""
UNTRUSTED = """\
An unexpected error occurred:
requests.exceptions.SSLError: (SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] \
verify failed: unable to get local issuer')))
"""
MISSING = "The requested dns-cloudflare plugin does not appear to be installed\n"
ODD = "Saving debug log to /x\nsomething odd\n"


@pytest.mark.parametrize(
    ("said", "message", "detail", "hint"),
    [
        (UNAUTHORISED, "the authority refuses 2 names", "api.example.com: DNS problem:", "every address"),
        (LIMITED, "a rate limit of the authority is reached", "retry after 2026-11-27", "wait"),
        (DOWN, "the authority does not answer", "ConnectionError", "try again"),
        (UNTRUSTED, "the certificate of the authority's own server", "get local issuer", "ca_bundle"),
        (MISSING, "this certbot lacks a plugin or an option", "dns-cloudflare", "package"),
        (ODD, "certbot failed", "something odd", ""),
    ],
)
def test_failures_are_reported_in_the_authoritys_words_and_nothing_is_lost(
    host: Host, said: str, message: str, detail: str, hint: str
) -> None:
    host.put()
    before = host.live()
    host.certbot.trouble = [said]
    error = host.refused("api.example.com")
    assert message in error.message
    assert detail in error.detail
    assert hint in error.hint
    assert "Saving debug log" not in error.detail
    assert host.live() == before


def test_a_profile_needs_a_certbot_with_profiles(host: Host) -> None:
    host.certbot.version = "certbot 2.1.0"
    assert "does not support certificate profiles" in host.refused(profile="tlsserver").message
    assert host.certbot.orders == []


def test_a_wildcard_is_refused_without_dns(host: Host) -> None:
    assert "wildcard" in host.refused("*.example.com").message
    host.put("*.example.com", dns="rfc2136", dns_credentials="/etc/dns", dns_propagation="3")
    words = host.certbot.orders[0]
    assert words[words.index("--dns-rfc2136-credentials") + 1] == "/etc/dns"
    assert words[words.index("--dns-rfc2136-propagation-seconds") + 1] == "3"


def test_an_account_may_have_no_e_mail_address(host: Host) -> None:
    words = command(NAME, CertificateDesired(**host.desired(email="")))
    assert "--register-unsafely-without-email" in words
    assert "-m" not in words
    words = command(NAME, CertificateDesired(**host.desired(email="ops@example.com")))
    assert words[words.index("-m") + 1] == "ops@example.com"
    assert "--register-unsafely-without-email" not in words


def test_certbot_and_its_timer_get_the_same_settings_of_a_plugin(host: Host) -> None:
    for name, plugin in rendered.PLUGINS.items():
        more = {"dns": name, "dns_credentials": "/c", "dns_propagation": "9", "ca_bundle": "/ca.pem"}
        desired = CertificateDesired(**host.desired(**more))
        assert environment(desired) == rendered.environment("/ca.pem", name, "/c")
        assert (f"--dns-{name}-propagation-seconds" in command(NAME, desired)) == plugin.waits


def test_the_environment_names_the_authoritys_root_certificate(host: Host) -> None:
    host.put(ca_bundle="/etc/ca.pem")
    assert host.certbot.environments == [{"REQUESTS_CA_BUNDLE": "/etc/ca.pem"}]


def test_a_lineage_name_that_leaves_the_folder_is_refused(host: Host) -> None:
    spec = {"lineage": "../../etc", "name": NAME}
    (found,) = host.client.ask(
        "survey", items=[{"kind": "certificates", "id": "x", "spec": spec}], index=False
    )["items"]
    assert found["error"]["code"] == "invalid"


def test_for_two_hundred_lineages_each_file_of_nginx_is_read_once(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem, key = issued([NAME])
    host.server.load(*issued(["other.test"]))
    for number in range(200):
        host.certbot.write(f"s{number}.test", pem, key, {"server": SERVER, "authenticator": "webroot"})
        (host.nginx / f"{number}.conf").write_text("# a site\n" * 200)
    items = [
        {
            "kind": "certificates",
            "id": f"s{number}.test",
            "spec": {"lineage": f"s{number}.test", "name": NAME},
        }
        for number in range(200)
    ]
    read: list[Path] = []
    lines = lineages._lines
    monkeypatch.setattr(lineages, "_lines", lambda path: read.append(path) or lines(path))
    found = host.client.ask("survey", items=items, index=False)["items"]
    assert all(item["facts"]["exists"] for item in found)
    assert len(read) == len(set(read)) >= 200


class Web:
    """A web server on 127.0.0.1 that answers from the webroot, and a fake DNS with `records`."""

    def __init__(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        self.records: dict[str, tuple[list[str], list[str]]] = {}
        handler = functools.partial(Handler, directory=str(host.webroot))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        web = acme_precheck.Web(self.look_up, self.server.server_address[1], loopback=True)
        monkeypatch.setattr(certificates, "Web", lambda: web)
        monkeypatch.setattr(acme_precheck, "_MOMENT", 0.0)
        host.client = host.client.again()

    def look_up(self, name: str) -> tuple[list[str], list[str]]:
        if name not in self.records:
            raise dns_lookup.LookupFailed("192.0.2.53: no answer")
        return self.records[name]


class Handler(http.server.SimpleHTTPRequestHandler):
    location = ""

    def do_GET(self) -> None:
        if self.location and "/again/" not in self.path:
            self.send_response(302)
            self.send_header("Location", self.location)
            self.end_headers()
            return
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web(host: Host, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    made = Web(host, monkeypatch)
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_the_precheck_names_every_address_that_does_not_lead_to_this_host(host: Host, web: Web) -> None:
    web.records = {NAME: (["127.0.0.1", "127.0.0.9"], []), "none.example.com": ([], [])}
    error = host.refused("none.example.com", "unknown.example.com", precheck=True)
    assert error.code == "precheck"
    assert error.detail.splitlines() == [
        (
            "none.example.com: DNS has no address for this name; "
            "create an A record (and AAAA, if the host has IPv6)"
        ),
        "unknown.example.com: the DNS lookup failed (192.0.2.53: no answer)",
        f"{NAME}: 127.0.0.9: nothing answers on port {web.server.server_address[1]} (Connection refused)",
    ]
    assert host.certbot.orders == []
    assert list(host.webroot.iterdir()) == []


def test_the_precheck_passes_names_that_lead_to_this_host(host: Host, web: Web) -> None:
    web.records = {NAME: (["127.0.0.1"], [])}
    host.put(precheck=True)
    assert len(host.certbot.orders) == 1


def test_the_precheck_reports_an_answer_that_is_not_ours(
    host: Host, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.records = {NAME: (["127.0.0.1"], [])}
    monkeypatch.setattr(Handler, "location", "http://elsewhere.example/")
    assert "redirects to another name, http://elsewhere.example/" in host.refused(precheck=True).detail
    for nonsense in ("http://[", "/\u00e9"):
        monkeypatch.setattr(Handler, "location", nonsense)
        assert "redirects to an invalid address" in host.refused(precheck=True).detail
    monkeypatch.setattr(Handler, "location", "/again/nothing")
    assert "answers 404" in host.refused(precheck=True).detail
    monkeypatch.setattr(Handler, "location", "")
    shutil.rmtree(host.webroot)
    assert host.refused(precheck=True).prop == "webroot"


def test_an_address_that_only_this_host_cannot_reach_is_no_fault(
    host: Host, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.records = {NAME: (["127.0.0.1"], ["2001:db8::1"])}
    real = socket.create_connection

    def without_ipv6(address: tuple[str, int], **more: Any) -> socket.socket:
        if ":" in address[0]:
            raise OSError(101, "Network is unreachable")
        return real(address, **more)

    monkeypatch.setattr(socket, "create_connection", without_ipv6)
    host.certbot.trouble = [UNAUTHORISED]
    error = host.refused(precheck=True)
    assert "(not checked) www.example.com at 2001:db8::1: this host has no IPv6" in error.detail
    host.put(precheck=True)


def test_the_challenge_folder_stays_while_another_certificate_needs_it(tmp_path: Path) -> None:
    """Four threads issue certificates, and certbot writes into the folder that it finds."""
    with challenge_folder.kept(tmp_path) as first:
        with challenge_folder.kept(tmp_path) as second:
            assert first == second
            assert (first.stat().st_mode & 0o777, first.parent.stat().st_mode & 0o777) == (0o755, 0o755)
        assert first.is_dir(), "the other one still needs it"
    assert list(tmp_path.iterdir()) == []


def test_the_challenge_folder_is_there_while_certbot_runs(
    host: Host, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.records = {NAME: (["127.0.0.1"], [])}
    seen: list[bool] = []
    real = acme_precheck.check

    def check(*about: Any) -> list[str]:
        found = real(*about)
        seen.append((host.webroot / challenge_folder.FOLDER).is_dir())
        return found

    monkeypatch.setattr(acme_precheck, "check", check)
    host.put(precheck=True)
    assert seen == [True]


def test_loopback_in_dns_is_no_proof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acme_precheck, "_MOMENT", 0.0)
    web = acme_precheck.Web(lambda _: (["127.0.1.1"], []))
    with pytest.raises(AgentError) as caught:
        acme_precheck.check([NAME], tmp_path, web)
    assert "answers with the host itself" in caught.value.detail


def test_a_setting_of_a_section_does_not_hide_one_of_the_lineage(tmp_path: Path) -> None:
    (tmp_path / "renewal").mkdir()
    (tmp_path / "renewal" / "a.conf").write_text(
        "[renewalparams]\nserver = https://x/dir\nprofile = None\n[[webroot_map]]\nserver = /srv\n"
    )
    found = lineages.Lineages(tmp_path).read("a")
    assert found is not None
    assert (found.option("server"), found.option("profile"), found.certificate) == ("https://x/dir", "", None)


def test_an_account_that_the_authority_does_not_know_is_replaced_once(host: Host) -> None:
    account = host.root / "accounts" / "acme.example" / "dir" / "6018a6"
    account.mkdir(parents=True)
    forgotten = "An unexpected error occurred:\nAccount https://acme.example/my-account/6018a6 not found.\n"
    host.certbot.trouble = [forgotten]
    host.put()
    (kept,) = (host.root / "accounts" / "acme.example").iterdir()
    assert kept.name.startswith("dir.forgotten-")
    host.certbot.trouble = [forgotten]
    assert "does not know this host's account" in host.refused("api.example.com").message


def test_a_refused_nonce_is_tried_three_more_times(host: Host) -> None:
    refused = (
        "An unexpected error occurred:\nThe client sent an unacceptable anti-replay nonce :: JWS has none\n"
    )
    host.certbot.trouble = [refused] * 3
    host.put()
    host.certbot.trouble = [refused] * 4
    assert "anti-replay nonce" in host.refused("api.example.com").detail


def test_an_answer_that_debian_12s_certbot_cannot_print_is_read_from_its_log(host: Host) -> None:
    masked = "An unexpected error occurred:\nAttributeError: can't set attribute\nAsk for help\n"
    log = host.machine.letsencrypt_logs / "letsencrypt.log"
    host.certbot.trouble = [masked]
    assert "can't set attribute" in host.refused().detail, "the log is empty"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(
        "acme.messages.Error: urn:ietf:params:acme:error:badNonce :: The nonce of the day before :: x\n"
        "\nDuring handling of the above exception, another exception occurred:\n\n"
        "acme.messages.Error: urn:ietf:params:acme:error:badNonce :: An unacceptable anti-replay nonce :: y\n"
    )
    host.certbot.trouble = [masked]
    host.put()
    log.write_text("acme.messages.Error: urn:ietf:params:acme:error:rateLimited :: Too much :: of you\n")
    host.certbot.trouble = [masked]
    assert host.refused("api.example.com").detail == "Too much :: of you"
