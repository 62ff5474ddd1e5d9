"""The proxy by what it registers: base, then certificate, then site, then what is served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bcrypt
import pulumi
import pytest

from portcullis.components import OwnKeyPair, ProxiedApp, ProxiedSite, ReverseProxy
from portcullis.components.certificates import render as certbot
from portcullis.components.certificates.component.certbot import AcmeArgs, DnsArgs
from portcullis.components.nginx import render as nginx
from portcullis.components.nginx.args import CorsArgs
from portcullis.components.nginx.component import ReverseProxyArgs
from tests.components.test_components import host
from tests.config.test_settings import smallest
from tests.previews import unknown_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.recording_engine import Deploy, Engine

SITE = "api.example.com"
ACME = AcmeArgs("ops@example.com")
HERE = {"/": ProxiedApp("172.17.0.1", 2019)}


def proxy(site: ProxiedSite, **args: Any) -> Callable[[], object]:
    return lambda: ReverseProxy("nginx", ReverseProxyArgs("web1", {SITE: site}, **({"acme": ACME} | args)))


def file(engine: Engine, path: str) -> Any:
    (found,) = [r for r in engine.of(":File") if r.inputs["path"] == path]
    return found


def test_base_then_certificate_then_site_then_what_is_served(deploy: Deploy) -> None:
    engine = deploy(proxy(ProxiedSite(HERE, redirect_from=("example.com",), aliases=("www.example.com",))))
    made = engine.one(":Certificate")
    assert set(made.inputs["domains"]) == {SITE, "www.example.com", "example.com"}
    assert made.inputs["common_name"] == SITE
    assert made.inputs["lineage"] == SITE
    # nginx answers the authority before there is a site.
    assert engine.before(made.name) >= {"nginx-default", "nginx-service", "nginx-certbot-hook"}
    site = file(engine, f"/etc/nginx/conf.d/{SITE}.conf")
    assert made.name in engine.before(site.name)
    assert "nginx-service" not in {name for name in engine.before("nginx-service") if name == site.name}
    served = engine.one(":ServedSites")
    assert engine.before(served.name) >= {site.name, made.name, "nginx-service"}
    assert served.inputs["sites"] == dict.fromkeys([SITE, "www.example.com", "example.com"], "served")
    probe = served.inputs["probes"][SITE]
    assert (probe["tls"], probe["certificate"]) == (True, f"/etc/letsencrypt/live/{SITE}/fullchain.pem")


def test_the_hook_reloads_and_the_timer_runs(deploy: Deploy) -> None:
    engine = deploy(proxy(ProxiedSite(HERE)))
    hook = file(engine, certbot.HOOK_PATH)
    assert hook.inputs["mode"] == "0755"
    assert "systemctl reload nginx" in hook.inputs["content"]
    assert engine.one(":Service", "nginx-certbot-timer").inputs["unit"] == "certbot.timer"
    assert engine.one(":Packages", "nginx-certbot-packages").inputs["on_delete"] == "remove"


def test_another_authority_is_trusted_by_the_timer_too(deploy: Deploy) -> None:
    acme = AcmeArgs("a@b.example", server="https://ca.example/dir", ca_bundle="-----BEGIN")
    engine = deploy(proxy(ProxiedSite(HERE), acme=acme))
    made = engine.one(":Certificate")
    assert made.inputs["lineage"] == certbot.lineage(SITE, "https://ca.example/dir") != SITE
    assert file(engine, certbot.CA_BUNDLE_PATH).inputs["content"] == "-----BEGIN"
    drop_in = file(engine, certbot.DROP_IN_PATH).inputs["content"]
    assert f"REQUESTS_CA_BUNDLE={certbot.CA_BUNDLE_PATH}" in drop_in
    assert engine.before(made.name) >= {"nginx-certbot-ca", "nginx-certbot-environment"}


def test_systemd_takes_up_what_the_timer_needs_and_that_it_needs_nothing_any_more(deploy: Deploy) -> None:
    """A drop-in that is only written, or goes, changes nothing until systemd reads its units anew."""
    drop_in = file(deploy(proxy(ProxiedSite(HERE))), certbot.DROP_IN_PATH)
    assert drop_in.inputs["test"] == ["systemctl", "daemon-reload"]
    assert "Environment=" not in drop_in.inputs["content"]
    assert "[Service]" in drop_in.inputs["content"]


def test_names_proven_by_dns(deploy: Deploy) -> None:
    acme = AcmeArgs("a@b.example", dns=DnsArgs("cloudflare", "dns_cloudflare_api_token = s3cr3t", 30))
    engine = deploy(proxy(ProxiedSite(HERE, aliases=("*.example.com",), challenge="dns"), acme=acme))
    credentials = file(engine, certbot.CREDENTIALS_PATH)
    assert credentials.inputs["mode"] == "0600"
    assert "content" in credentials.secret
    packages = engine.one(":Packages", "nginx-certbot-packages").inputs["packages"]
    assert set(packages) == {"certbot", "python3-certbot-dns-cloudflare"}
    assert not [r.name for r in engine.declared if "s3cr3t" in str(r.inputs) and not r.secret]


def test_a_certificate_of_the_stack_is_one_file_with_its_key(deploy: Deploy) -> None:
    engine = deploy(proxy(ProxiedSite(HERE, tls="internal"), acme=None))
    assert not engine.of(":Certificate")
    pem = file(engine, f"{nginx.PRIVATE}/{SITE}.pem")
    assert (pem.inputs["mode"], pem.inputs["test"]) == ("0600", ["nginx", "-t"])
    # A file that is written while the service is brought up to date would leave it stale for ever.
    assert "nginx-service" in engine.before(pem.name)
    assert "content" in pem.secret
    text = file(engine, f"/etc/nginx/conf.d/{SITE}.conf").inputs["content"]
    assert f"ssl_certificate {nginx.PRIVATE}/{SITE}.pem;" in text
    assert engine.one(":ServedSites").inputs["probes"][SITE]["certificate"] == f"{nginx.PRIVATE}/{SITE}.pem"


def test_a_certificate_from_elsewhere(deploy: Deploy) -> None:
    engine = deploy(proxy(ProxiedSite(HERE, tls=OwnKeyPair("CHAIN\n", "KEY")), acme=None))
    pem = file(engine, f"{nginx.PRIVATE}/{SITE}.pem")
    assert "content" in pem.secret
    assert pem.inputs["content"] == "KEY\nCHAIN\n"


def test_plain_http_needs_no_authority(deploy: Deploy) -> None:
    engine = deploy(proxy(ProxiedSite(HERE, tls="none"), acme=None))
    assert not engine.of(":Certificate")
    assert not [r for r in engine.of(":Packages") if "certbot" in str(r.inputs)]
    probe = engine.one(":ServedSites").inputs["probes"][SITE]
    assert (probe["tls"], probe["certificate"]) == (False, "")


def test_passwords_reach_the_host_as_hashes(deploy: Deploy) -> None:
    def program() -> None:
        users = {"alice": pulumi.Output.secret("correct horse"), "bob": "correct horse"}
        proxy(ProxiedSite(HERE, passwords=users))()

    first, again = deploy(program), deploy(program)
    made = file(first, f"{nginx.PRIVATE}/{SITE}.htpasswd")
    assert (made.inputs["group"], made.inputs["mode"]) == ("www-data", "0640")
    assert "content" in made.secret
    text = made.inputs["content"]
    # The same text every time: another salt would show as a change in each preview.
    assert text == file(again, made.inputs["path"]).inputs["content"]
    lines = dict(line.split(":", 1) for line in text.splitlines())
    assert bcrypt.checkpw(b"correct horse", lines["alice"].encode())
    assert lines["alice"] != lines["bob"]
    assert not bcrypt.checkpw(b"wrong", lines["bob"].encode())
    site = file(first, f"/etc/nginx/conf.d/{SITE}.conf")
    assert f"auth_basic_user_file {made.inputs['path']};" in site.inputs["content"]
    assert made.name in first.before(site.name)


def test_files_and_redirects_need_no_app(deploy: Deploy, tmp_path: Any) -> None:
    (tmp_path / "index.html").write_text("x")
    engine = deploy(proxy(ProxiedSite(root=str(tmp_path)), tls="modern"))
    assert engine.one(":Tree").inputs["path"] == f"/var/www/{SITE}"
    assert "ssl_protocols TLSv1.3;" in file(engine, nginx.TLS_PATH).inputs["content"]
    for target in ("https://www.example.com", "https://www.example.com/"):
        engine = deploy(proxy(ProxiedSite(redirect=target)))
        text = file(engine, f"/etc/nginx/conf.d/{SITE}.conf").inputs["content"]
        assert "return 308 https://www.example.com$request_uri;" in text


def test_what_the_settings_say_reaches_nginx(deploy: Deploy) -> None:
    config = smallest() | {"secrets": {"alice": "correct horse"}}
    config["hosts"]["web1"]["proxy"] = {
        "tls": "modern",
        "trustedProxies": ["192.0.2.0/24"],
        "realIpHeader": "CF-Connecting-IP",
        "accessLog": "json",
        "brotli": True,
    }
    config["sites"][SITE] |= {
        "cors": {"origins": ["https://app.example.com"]},
        "limits": {"requests": 7, "burst": 9, "connections": 11, "body": "3M"},
        "hsts": {"maxAge": 300},
        "csp": "default-src 'self'",
        "headers": {"X-Frame-Options": ""},
        "basicAuth": {"alice": "alice"},
        "allow": ["203.0.113.0/24"],
        "timeout": 5,
        "snippet": "location = /hi { return 204; }",
    }
    engine = deploy(lambda: host(config, encrypted=["secrets"]))
    text = file(engine, f"/etc/nginx/conf.d/{SITE}.conf").inputs["content"]
    for words in (
        "https://app.example.com https://app.example.com;",
        "rate=7r/s",
        "burst=9 nodelay",
        "limit_conn connections_api_example_com 11;",
        "client_max_body_size 3m;",
        "max-age=300",
        "\"default-src 'self'\"",
        "203.0.113.0/24 ",
        "proxy_read_timeout 5s;",
        "location = /hi { return 204; }",
        "portcullis_json",
    ):
        assert words in text
    assert "add_header X-Frame-Options" not in text
    default = file(engine, nginx.DEFAULT_PATH).inputs["content"]
    assert "set_real_ip_from 192.0.2.0/24;" in default
    assert "real_ip_header CF-Connecting-IP;" in default
    assert "brotli on;" in file(engine, nginx.COMPRESSION_PATH).inputs["content"]
    packages = engine.one(":Packages", "web1-nginx-packages").inputs["packages"]
    assert set(packages) == {"nginx", *nginx.BROTLI_PACKAGES}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (ProxiedSite, "needs an app for /, a root, or a redirect"),
        (lambda: ProxiedSite(HERE, root="x"), "needs an app for /, a root, or a redirect"),
        (lambda: ProxiedSite(redirect="javascript:x"), "ProxiedSite.redirect: .* is not a URL"),
        (lambda: ProxiedSite(HERE, aliases=("a b",)), r"ProxiedSite.aliases\[0\]"),
        (lambda: ProxiedSite(HERE, more={"cor": None}), "ProxiedSite.more: cor: known are"),
        (
            lambda: ProxiedSite(HERE, more={"cors": CorsArgs(origins=("*",))}),
            r"CorsArgs.origins\[0\]: .* is not an origin",
        ),
        (lambda: ReverseProxyArgs("web1", {SITE: ProxiedSite(HERE)}), "acme is missing, or tls="),
        (
            lambda: ReverseProxyArgs("web1", {SITE: ProxiedSite(HERE, tls="none")}, os="ubuntu-22.04"),
            "ubuntu-22.04 can serve no site",
        ),
        (lambda: AcmeArgs("ops"), "AcmeArgs.email"),
        (lambda: AcmeArgs("a@b.example", dns=DnsArgs("godaddy", "x")), "DnsArgs.provider"),
    ],
)
def test_arguments_of_the_proxy_are_checked(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_a_preview_knows_all_but_keys_and_what_they_sign() -> None:
    def program() -> None:
        users = {"alice": pulumi.Output.secret("correct horse")}
        sites = {SITE: ProxiedSite(HERE, passwords=users), "b.example": ProxiedSite(HERE, tls="internal")}
        own = {"c.example": ProxiedSite(redirect="https://b.example", tls=OwnKeyPair("CHAIN\n", "KEY"))}
        ReverseProxy("nginx", ReverseProxyArgs("web1", {**sites, **own}, acme=ACME))

    assert unknown_in(program) == {
        "nginx-b.example-certificate.caCertPem",
        "nginx-b.example-certificate.caPrivateKeyPem",
        "nginx-b.example-certificate.certRequestPem",
        "nginx-b.example-certificate.content",
        "nginx-b.example-request.privateKeyPem",
        "nginx-ca-certificate.privateKeyPem",
    }
