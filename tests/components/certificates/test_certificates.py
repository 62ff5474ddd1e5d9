"""Lineages of certbot on a host made of files, with a server that really shows them."""

from __future__ import annotations

import dataclasses
import functools
import http.server
import shutil
import socket
import ssl
import threading
import time
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
    """Shows one certificate on a port of loopback until another is loaded, as nginx does."""

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
        """Make a lineage by hand."""
        settings = {"server": server, "authenticator": "webroot", "webroot_path": f"{self.webroot},"}
        self.certbot.write(NAME, *issued([NAME], age=age, **more), settings)

    def live(self) -> tuple[bytes, bytes]:
        folder = self.root / "live" / NAME
        return (folder / "fullchain.pem").read_bytes(), (folder / "privkey.pem").read_bytes()

    def worker(self, pid: int) -> Path:
        """Let nginx have a worker, and return its folder in /proc."""
        folder = self.machine.proc / str(pid)
        folder.mkdir(parents=True)
        (folder / "cmdline").write_text("nginx: worker process ")
        (folder / "stat").write_text(f"{pid} (nginx) S {MAIN} {' '.join(['0'] * 18)}\n")
        return folder

    def site(self) -> None:
        """Let nginx's configuration name the lineage, and have it served."""
        (self.nginx / "site.conf").write_text(f"ssl_certificate {self.root}/live/{NAME}/fullchain.pem;\n")
        self.certbot.on_reload = lambda: self.server.load(*self.live())


@pytest.fixture
def host(machine: Machine, tmp_path: Path) -> Iterator[Host]:
    made = Host(machine, tmp_path / "host")
    yield made
    made.client.close()
    made.server.listener.close()


def test_the_first_certificate_is_issued_and_needs_no_second(host: Host) -> None:
    assert host.facts() == {"exists": False}
    facts = host.put("api.example.com")["facts"]
    assert facts["domains"] == {"api.example.com": "covered", NAME: "covered"}
    assert (facts["issuer"], facts["key_type"]) == ("Example CA", "ecdsa")
    assert (facts["expiry"], facts["served"]) == ("fresh", "this certificate")
    assert host.put("api.example.com")["steps"] == []
    (order,) = host.certbot.orders
    assert "--force-renewal" not in order
    assert order[-4:] == ["-d", NAME, "-d", "api.example.com"]


def test_a_name_more_is_issued_in_place(host: Host) -> None:
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
def test_what_renewals_go_by_is_changed_by_a_new_certificate(
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
        (61.1, 90, "in 28 days, of 90: certbot's log tells of no attempt; does certbot.timer run?"),
        (89.9, 90, "in 2 hours, of 90: certbot's log tells of no attempt; does certbot.timer run?"),
        (93.5, 90, "expired 3 days ago: certbot's log tells of no attempt; does certbot.timer run?"),
        (30.9, 45, "fresh"),
        (31.1, 45, "in 13 days, of 45: certbot's log tells of no attempt; does certbot.timer run?"),
        (3.9, 6, "fresh"),
        (4.1, 6, "in 45 hours, of 6: certbot's log tells of no attempt; does certbot.timer run?"),
    ],
)
def test_what_is_due_and_was_not_renewed_shows(host: Host, age: float, days: float, said: str) -> None:
    host.there(age, days=days)
    assert host.facts()["expiry"] == said


def test_expiry_comes_with_the_last_reason_from_the_log_for_this_lineage(host: Host) -> None:
    host.there(80)
    host.log.write_text(
        f"2026-11-01 00:00:00,000:DEBUG:certbot.display:Notifying user: \n{UNAUTHORISED}"
        f"2026-11-01 00:00:01,000:ERROR:x:Failed to renew certificate {NAME} with error: "
        "Some challenges have failed.\n"
        "2026-11-01 00:00:02,000:ERROR:x:Failed to renew certificate other.test with error: no room\n"
    )
    said = host.facts()["expiry"]
    assert said.startswith("in 9 days, of 90: www.example.com: 192.0.2.7: Invalid response from http://www.")
    with host.log.open("a") as log:
        log.write(
            f"2026-11-02:ERROR:x:Failed to renew certificate {NAME} with error: ('Connection aborted.',)\n"
        )
    assert host.facts()["expiry"] == "in 9 days, of 90: ('Connection aborted.',)"


def test_an_update_renews_what_is_due(host: Host) -> None:
    host.put()
    host.there(85)
    done = host.put()
    assert done["steps"][0]["property"] == "expiry"
    assert done["facts"]["expiry"] == "fresh"


def test_an_older_certificate_that_is_served_is_a_difference_and_a_reload_mends_it(host: Host) -> None:
    host.put()
    host.site()
    host.server.load(*issued([NAME], age=20))
    assert host.facts()["served"].startswith("an older certificate of this name, until 20")
    done = host.put()
    assert [(s["property"], s["action"]) for s in done["steps"]] == [("served", "reload")]
    assert host.certbot.reloads() == 1
    assert len(host.certbot.orders) == 1
    assert host.put()["steps"] == []


def test_no_file_goes_until_the_certificate_is_served_after_a_reload(host: Host) -> None:
    host.put()
    host.site()
    host.server.load(*issued([NAME], age=20))
    removal = Removal(host.machine)

    def take_up() -> None:
        assert removal.order[-1] != "removed", "it went while the server was reloaded"
        host.server.load(*host.live())

    host.certbot.on_reload = take_up
    order = removal.during(host.client, lambda client: client.on("put", "certificates", NAME, host.desired()))
    assert "removed" in order


def test_a_certificate_for_other_names_is_a_difference_once_a_site_names_the_lineage(host: Host) -> None:
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


def test_what_was_served_is_served_anew_at_the_end_of_an_issue(host: Host) -> None:
    host.put()
    host.site()
    host.server.load(*host.live())
    done = host.put("api.example.com")
    assert done["facts"]["served"] == "this certificate"
    assert host.certbot.reloads() == 1


def test_workers_of_before_a_hooks_reload_have_gone_at_the_end_of_an_issue(host: Host) -> None:
    # Until then a visitor met either certificate, and the check after the change the old one.
    host.put()
    host.site()
    host.server.load(*host.live())
    former = host.worker(11)

    def reload() -> None:
        host.server.load(*host.live())
        host.worker(12)
        threading.Timer(0.3, shutil.rmtree, [former]).start()

    host.certbot.hook = reload
    host.put("api.example.com")
    assert not former.exists()
    assert host.certbot.reloads() == 0


def test_a_broken_configuration_is_not_reloaded_and_said_so(host: Host) -> None:
    host.put()
    host.site()
    host.server.load(*issued([NAME], age=20))
    host.certbot.broken_nginx = 'nginx: [emerg] unknown directive "x" in /etc/nginx/a.conf:1'
    error = host.refused()
    assert "not reloaded" in error.message
    assert "unknown directive" in error.detail
    assert host.certbot.reloads() == 0


def test_what_is_there_and_equal_is_taken_over_and_kept_on_delete(host: Host) -> None:
    host.there()
    assert host.put()["steps"] == []
    assert host.remove() == "kept"
    assert host.live()


def test_what_is_there_and_differs_needs_adopt(host: Host) -> None:
    host.there(server=OTHER)
    assert host.refused().code == "differs"
    assert host.certbot.orders == []
    assert host.put(adopt=True)["facts"]["server"] == SERVER


def test_one_that_certbots_own_nginx_plugin_renews_differs(host: Host) -> None:
    host.certbot.write(NAME, *issued([NAME]), {"server": SERVER, "authenticator": "nginx"})
    assert host.facts()["dns"] == "<nginx>"
    assert host.refused().prop == "dns"


def test_delete_takes_the_lineage_and_nothing_else(host: Host) -> None:
    host.put()
    host.certbot.write("other.test", *issued(["other.test"]), {"server": SERVER})
    assert host.remove() == "removed"
    assert [path.name for path in (host.root / "live").iterdir()] == ["other.test"]
    assert host.remove() == "absent"


def test_keep_keeps(host: Host) -> None:
    host.put(on_delete="keep")
    assert host.remove(on_delete="keep") == "kept"
    assert host.live()


def test_a_lineage_that_a_site_still_names_is_not_deleted(host: Host) -> None:
    host.put()
    host.site()
    error = host.client.refused("remove", "certificates", NAME, host.desired())
    assert "site.conf still names it" in error.message
    assert host.live()
    (host.nginx / "site.conf").unlink()
    assert host.remove() == "removed"


def test_a_killed_run_heals_though_certbot_refuses_what_it_left(host: Host) -> None:
    host.certbot.killed = True
    host.refused()
    assert (host.root / "live" / NAME).is_dir()
    assert host.put()["facts"]["expiry"] == "fresh"
    assert not list(host.root.rglob("*-0001*"))
    assert host.remove() == "removed"


def test_a_half_that_somebody_else_left_needs_adopt_and_comes_back(host: Host) -> None:
    folder = host.root / "live" / NAME
    folder.mkdir(parents=True)
    (folder / "fullchain.pem").write_text("by hand\n")
    assert host.refused().code == "differs"
    assert host.put(adopt=True)["facts"]["expiry"] == "fresh"
    assert host.remove() == "restored"
    assert (folder / "fullchain.pem").read_text() == "by hand\n"


def test_a_half_that_could_not_be_replaced_stays(host: Host) -> None:
    folder = host.root / "live" / NAME
    folder.mkdir(parents=True)
    (folder / "fullchain.pem").write_text("by hand\n")
    host.certbot.trouble = ["no"]
    with pytest.raises(AgentError):
        host.put(adopt=True)
    assert (folder / "fullchain.pem").read_text() == "by hand\n"


def test_another_certbot_is_waited_for(host: Host) -> None:
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
        (LIMITED, "a limit of the authority is reached", "retry after 2026-11-27", "wait"),
        (DOWN, "the authority does not answer", "ConnectionError", "try again"),
        (UNTRUSTED, "the certificate of the authority's own server", "get local issuer", "ca_bundle"),
        (MISSING, "certbot lacks what is asked of it", "dns-cloudflare", "package"),
        (ODD, "certbot failed", "something odd", ""),
    ],
)
def test_failures_are_told_in_the_authoritys_words_and_nothing_is_lost(
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


def test_a_profile_needs_a_certbot_that_knows_profiles(host: Host) -> None:
    host.certbot.version = "certbot 2.1.0"
    assert "knows no profiles" in host.refused(profile="tlsserver").message
    assert host.certbot.orders == []


def test_a_wildcard_is_refused_without_dns(host: Host) -> None:
    assert "wildcard" in host.refused("*.example.com").message
    host.put("*.example.com", dns="rfc2136", dns_credentials="/etc/dns", dns_propagation="3")
    words = host.certbot.orders[0]
    assert words[words.index("--dns-rfc2136-credentials") + 1] == "/etc/dns"
    assert words[words.index("--dns-rfc2136-propagation-seconds") + 1] == "3"


def test_an_account_may_be_without_an_address(host: Host) -> None:
    words = command(NAME, CertificateDesired(**host.desired(email="")))
    assert "--register-unsafely-without-email" in words
    assert "-m" not in words
    words = command(NAME, CertificateDesired(**host.desired(email="ops@example.com")))
    assert words[words.index("-m") + 1] == "ops@example.com"
    assert "--register-unsafely-without-email" not in words


def test_what_certbot_is_told_of_a_plugin_is_what_the_timer_is_told(host: Host) -> None:
    for name, plugin in rendered.PLUGINS.items():
        more = {"dns": name, "dns_credentials": "/c", "dns_propagation": "9", "ca_bundle": "/ca.pem"}
        desired = CertificateDesired(**host.desired(**more))
        assert environment(desired) == rendered.environment("/ca.pem", name, "/c")
        assert (f"--dns-{name}-propagation-seconds" in command(NAME, desired)) == plugin.waits


def test_the_root_of_the_authority_is_told_by_the_environment(host: Host) -> None:
    host.put(ca_bundle="/etc/ca.pem")
    assert host.certbot.environments == [{"REQUESTS_CA_BUNDLE": "/etc/ca.pem"}]


def test_a_name_that_would_leave_the_folder_is_refused(host: Host) -> None:
    spec = {"lineage": "../../etc", "name": NAME}
    (found,) = host.client.ask(
        "survey", items=[{"kind": "certificates", "id": "x", "spec": spec}], index=False
    )["items"]
    assert found["error"]["code"] == "invalid"


def test_two_hundred_lineages_are_read_in_seconds(host: Host) -> None:
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
    begun = time.monotonic()
    found = host.client.ask("survey", items=items, index=False)["items"]
    seconds = time.monotonic() - begun
    assert all(item["facts"]["exists"] for item in found)
    assert seconds < 10, f"{seconds:.2f} s"


class Web:
    """A server that answers from the webroot on port `port` of 127.0.0.1 and ::1, and DNS of a test's own."""

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


def test_every_name_and_address_that_does_not_lead_here_is_told_before_the_authority_is_asked(
    host: Host, web: Web
) -> None:
    web.records = {NAME: (["127.0.0.1", "127.0.0.9"], []), "none.example.com": ([], [])}
    error = host.refused("none.example.com", "unknown.example.com", precheck=True)
    assert error.code == "precheck"
    assert error.detail.splitlines() == [
        "none.example.com: DNS has no address for it; make an A record (and AAAA, where the host has IPv6)",
        "unknown.example.com: DNS could not be asked (192.0.2.53: no answer)",
        f"{NAME}: 127.0.0.9: nothing answers on port {web.server.server_address[1]} (Connection refused)",
    ]
    assert host.certbot.orders == []
    assert list(host.webroot.iterdir()) == []


def test_names_that_lead_here_pass(host: Host, web: Web) -> None:
    web.records = {NAME: (["127.0.0.1"], [])}
    host.put(precheck=True)
    assert len(host.certbot.orders) == 1


def test_an_answer_that_is_not_ours_is_told(host: Host, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    web.records = {NAME: (["127.0.0.1"], [])}
    monkeypatch.setattr(Handler, "location", "http://elsewhere.example/")
    assert "redirects to http://elsewhere.example/, another name" in host.refused(precheck=True).detail
    for nonsense in ("http://[", "/\u00e9"):
        monkeypatch.setattr(Handler, "location", nonsense)
        assert "redirects to what is no address" in host.refused(precheck=True).detail
    monkeypatch.setattr(Handler, "location", "/again/nothing")
    assert "answers with 404" in host.refused(precheck=True).detail
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
    assert "(not tried) www.example.com at 2001:db8::1: this host has no IPv6" in error.detail
    host.put(precheck=True)


def test_sites_that_are_asked_for_at_the_same_time_leave_each_other_the_folder(tmp_path: Path) -> None:
    """Certificates come in four threads, and certbot writes into a folder that it finds there."""
    with challenge_folder.kept(tmp_path) as first:
        with challenge_folder.kept(tmp_path) as second:
            assert first == second
            assert (first.stat().st_mode & 0o777, first.parent.stat().st_mode & 0o777) == (0o755, 0o755)
        assert first.is_dir(), "the other one still needs it"
    assert list(tmp_path.iterdir()) == []


def test_certbot_is_run_with_the_folder_there(host: Host, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert "leads to itself" in caught.value.detail


def test_a_setting_of_a_section_does_not_hide_one_of_the_lineage(tmp_path: Path) -> None:
    (tmp_path / "renewal").mkdir()
    (tmp_path / "renewal" / "a.conf").write_text(
        "[renewalparams]\nserver = https://x/dir\nprofile = None\n[[webroot_map]]\nserver = /srv\n"
    )
    found = lineages.Lineages(tmp_path).read("a")
    assert found is not None
    assert (found.option("server"), found.option("profile"), found.certificate) == ("https://x/dir", "", None)


def test_an_account_that_its_authority_forgot_is_put_aside_and_another_one_registered(host: Host) -> None:
    account = host.root / "accounts" / "acme.example" / "dir" / "6018a6"
    account.mkdir(parents=True)
    forgotten = "An unexpected error occurred:\nAccount https://acme.example/my-account/6018a6 not found.\n"
    host.certbot.trouble = [forgotten]
    host.put()
    (kept,) = (host.root / "accounts" / "acme.example").iterdir()
    assert kept.name.startswith("dir.forgotten-")
    host.certbot.trouble = [forgotten]
    assert "knows nothing of the account" in host.refused("api.example.com").message


def test_a_nonce_that_certbot_gives_up_on_is_tried_thrice_more(host: Host) -> None:
    refused = (
        "An unexpected error occurred:\nThe client sent an unacceptable anti-replay nonce :: JWS has none\n"
    )
    host.certbot.trouble = [refused] * 3
    host.put()
    host.certbot.trouble = [refused] * 4
    assert "anti-replay nonce" in host.refused("api.example.com").detail


def test_what_debian_12s_certbot_could_not_print_is_in_its_log(host: Host) -> None:
    masked = "An unexpected error occurred:\nAttributeError: can't set attribute\nAsk for help\n"
    log = host.machine.letsencrypt_logs / "letsencrypt.log"
    host.certbot.trouble = [masked]
    assert "can't set attribute" in host.refused().detail, "nothing is in the log"
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
