"""Tests the resources of the proxy and their order: shared files, certificates, sites, and the last check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import bcrypt
import pulumi
import pytest

from portcullis.components import (
    AcmeArgs,
    Certbot,
    CertificateArgs,
    DnsArgs,
    ProxiedApp,
    ReverseProxy,
    ReverseProxyArgs,
    SiteArgs,
)
from portcullis.components.certificates import render as certbot
from portcullis.components.nginx import render as nginx
from portcullis.config.faults import ArgumentsError
from portcullis.host import Host
from tests.components.nginx.nginx_process import pair
from tests.components.test_components import host
from tests.config.test_settings import smallest
from tests.previews import unknown_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.recording_engine import Deploy, Engine

SITE = "api.example.com"
ACME = AcmeArgs(email="ops@example.com")
APPS = {"api": ProxiedApp("172.17.0.1", 2019)}


def proxy(
    site: SiteArgs | None = None, args: ReverseProxyArgs | None = None, **wiring: Any
) -> Callable[[], object]:
    given = {"host": Host("web1"), "sites": {SITE: site or SiteArgs(app="api")}, "apps": APPS, "acme": ACME}
    return lambda: ReverseProxy("nginx", args or ReverseProxyArgs(), **(given | wiring))


def own(folder: Path, name: str, *, begins: int = 0) -> tuple[str, str]:
    """Return a private key, and the path of its certificate."""
    text = pair(folder / f"{name}.pem", name, begins=begins).read_text()
    mark = "-----END PRIVATE KEY-----\n"
    chain = folder / f"{name}-chain.pem"
    chain.write_text(text.partition(mark)[2])
    return text.partition(mark)[0] + mark, str(chain)


def file(engine: Engine, path: str) -> Any:
    (found,) = [r for r in engine.of(":File") if r.inputs["path"] == path]
    return found


def test_shared_files_come_first_then_certificate_then_site_then_the_check(deploy: Deploy) -> None:
    engine = deploy(proxy(SiteArgs(app="api", redirect_from=["example.com"], aliases=["www.example.com"])))
    made = engine.one(":Certificate")
    assert set(made.inputs["domains"]) == {SITE, "www.example.com", "example.com"}
    assert made.inputs["common_name"] == SITE
    assert made.inputs["lineage"] == SITE
    # nginx has to answer the authority before the site exists.
    assert engine.before(made.name) >= {"nginx-default", "nginx-service", "nginx-certbot-hook"}
    site = file(engine, f"/etc/nginx/conf.d/{SITE}.conf")
    assert made.name in engine.before(site.name)
    assert "nginx-service" not in {name for name in engine.before("nginx-service") if name == site.name}
    served = engine.one(":ServedSites")
    assert engine.before(served.name) >= {site.name, made.name, "nginx-service"}
    assert served.inputs["sites"] == dict.fromkeys([SITE, "www.example.com", "example.com"], "served")
    probe = served.inputs["probes"][SITE]
    assert (probe["tls"], probe["certificate"]) == (True, f"/etc/letsencrypt/live/{SITE}/fullchain.pem")


def test_the_hook_reloads_nginx_and_the_timer_runs(deploy: Deploy) -> None:
    engine = deploy(proxy())
    hook = file(engine, certbot.HOOK_PATH)
    assert hook.inputs["mode"] == "0755"
    assert "systemctl reload nginx" in hook.inputs["content"]
    assert engine.one(":Service", "nginx-certbot-timer").inputs["unit"] == "certbot.timer"
    assert engine.one(":Packages", "nginx-certbot-packages").inputs["on_delete"] == "remove"


def test_the_timer_trusts_another_authority_too(deploy: Deploy, tmp_path: Path) -> None:
    root = pair(tmp_path / "root.pem", "ca.example")
    root.write_text(root.read_text().partition("-----END PRIVATE KEY-----\n")[2])
    acme = AcmeArgs(email="a@b.example", server="https://ca.example/dir", ca_bundle=str(root))
    engine = deploy(proxy(acme=acme))
    made = engine.one(":Certificate")
    assert made.inputs["lineage"] == certbot.lineage(SITE, "https://ca.example/dir") != SITE
    assert file(engine, certbot.CA_BUNDLE_PATH).inputs["content"] == root.read_text()
    drop_in = file(engine, certbot.DROP_IN_PATH).inputs["content"]
    assert f"REQUESTS_CA_BUNDLE={certbot.CA_BUNDLE_PATH}" in drop_in
    assert engine.before(made.name) >= {"nginx-certbot-ca", "nginx-certbot-environment"}


def test_systemd_reads_its_units_again_even_if_the_timer_needs_no_variables(deploy: Deploy) -> None:
    """A new or removed drop-in has no effect until systemd reads its units again."""
    drop_in = file(deploy(proxy()), certbot.DROP_IN_PATH)
    assert drop_in.inputs["test"] == ["systemctl", "daemon-reload"]
    assert "Environment=" not in drop_in.inputs["content"]
    assert "[Service]" in drop_in.inputs["content"]


def test_a_dns_challenge_brings_the_plugin_and_its_credentials(deploy: Deploy) -> None:
    dns = DnsArgs(provider="cloudflare", credentials="dns", propagation=30)
    site = SiteArgs(app="api", aliases=["*.example.com"], challenge="dns")
    secrets = {"dns": "dns_cloudflare_api_token = s3cr3t"}
    engine = deploy(proxy(site, acme=AcmeArgs(email="a@b.example", dns=dns), secrets=secrets))
    credentials = file(engine, certbot.CREDENTIALS_PATH)
    assert credentials.inputs["mode"] == "0600"
    assert "content" in credentials.secret
    packages = engine.one(":Packages", "nginx-certbot-packages").inputs["packages"]
    assert set(packages) == {"certbot", "python3-certbot-dns-cloudflare"}
    assert not [r.name for r in engine.declared if "s3cr3t" in str(r.inputs) and not r.secret]


def test_an_internal_certificate_and_its_key_are_one_file(deploy: Deploy) -> None:
    engine = deploy(proxy(SiteArgs(app="api", tls="internal"), acme=None))
    assert not engine.of(":Certificate")
    pem = file(engine, f"{nginx.PRIVATE}/{SITE}.pem")
    assert (pem.inputs["mode"], pem.inputs["test"]) == ("0600", ["nginx", "-t"])
    # A file that changes while the agent updates the service would leave the service stale.
    assert "nginx-service" in engine.before(pem.name)
    assert "content" in pem.secret
    text = file(engine, f"/etc/nginx/conf.d/{SITE}.conf").inputs["content"]
    assert f"ssl_certificate {nginx.PRIVATE}/{SITE}.pem;" in text
    assert engine.one(":ServedSites").inputs["probes"][SITE]["certificate"] == f"{nginx.PRIVATE}/{SITE}.pem"


def test_a_users_own_certificate_and_its_key_are_one_file(deploy: Deploy, tmp_path: Path) -> None:
    key, chain = own(tmp_path, SITE)
    site = SiteArgs(app="api", certificate=CertificateArgs(chain=chain, key="wwwKey"))
    engine = deploy(proxy(site, acme=None, secrets={"wwwKey": key}))
    assert not engine.of(":Certificate")
    pem = file(engine, f"{nginx.PRIVATE}/{SITE}.pem")
    assert "content" in pem.secret
    assert pem.inputs["content"] == key + Path(chain).read_text()


def test_a_warning_names_a_certificate_that_ends_soon(
    deploy: Deploy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", told.append)
    for begins, expected in ((0, 0), (-80, 1)):
        told.clear()
        key, chain = own(tmp_path, SITE, begins=begins)
        site = SiteArgs(app="api", certificate=CertificateArgs(chain=chain, key="wwwKey"))
        deploy(proxy(site, secrets={"wwwKey": key}))
        assert len([text for text in told if f"the certificate in {chain} ends on" in text]) == expected


def test_plain_http_needs_no_authority(deploy: Deploy) -> None:
    engine = deploy(proxy(SiteArgs(app="api", tls="none"), acme=None))
    assert not engine.of(":Certificate")
    assert not [r for r in engine.of(":Packages") if "certbot" in str(r.inputs)]
    probe = engine.one(":ServedSites").inputs["probes"][SITE]
    assert (probe["tls"], probe["certificate"]) == (False, "")


def test_passwords_reach_the_host_as_hashes(deploy: Deploy) -> None:
    def program() -> None:
        secrets = {"a": pulumi.Output.secret("correct horse"), "b": "correct horse"}
        proxy(SiteArgs(app="api", basic_auth={"alice": "a", "bob": "b"}), secrets=secrets)()

    first, again = deploy(program), deploy(program)
    made = file(first, f"{nginx.PRIVATE}/{SITE}.htpasswd")
    assert (made.inputs["group"], made.inputs["mode"]) == ("www-data", "0640")
    assert "content" in made.secret
    text = made.inputs["content"]
    # The hash is the same every time, because a random salt would show as a change in each preview.
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
    engine = deploy(proxy(SiteArgs(root=str(tmp_path)), ReverseProxyArgs(tls="modern"), apps={}))
    assert engine.one(":Tree").inputs["path"] == f"/var/www/{SITE}"
    assert "ssl_protocols TLSv1.3;" in file(engine, nginx.TLS_PATH).inputs["content"]
    for target in ("https://www.example.com", "https://www.example.com/"):
        engine = deploy(proxy(SiteArgs(redirect=target)))
        text = file(engine, f"/etc/nginx/conf.d/{SITE}.conf").inputs["content"]
        assert "return 308 https://www.example.com$request_uri;" in text


def test_the_settings_reach_nginx(deploy: Deploy) -> None:
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


def test_all_faults_between_sites_and_other_settings_are_reported_at_once(tmp_path: Path) -> None:
    key, chain = own(tmp_path, "other.example.com")
    sites = {
        SITE: SiteArgs(app="apy", basic_auth={"alice": "alice"}, aliases=["b.example.com"]),
        "b.example.com": SiteArgs(app="api", tls="none", basic_auth={"bob": "bob"}),
        "c.example.com": SiteArgs(app="api", challenge="dns"),
        "d.example.com": SiteArgs(app="api", certificate=CertificateArgs(chain=chain, key="key")),
    }
    acme = AcmeArgs(server="https://ca.example/dir", ca_bundle=str(tmp_path / "none.pem"), profile="x")
    secrets = {"bob": "p" * 73, "key": key}
    with pytest.raises(ArgumentsError) as caught:
        proxy(sites=sites, acme=acme, secrets=secrets, host=Host("web1", os="debian-12"))()
    paths = [fault.path for fault in caught.value.faults]
    assert sorted(paths) == [
        "ReverseProxy.acme.ca_bundle",
        "ReverseProxy.acme.profile",
        "ReverseProxy.acme.profile",
        "ReverseProxy.sites.api.example.com.aliases[0]",
        "ReverseProxy.sites.api.example.com.app",
        "ReverseProxy.sites.api.example.com.basic_auth.alice",
        "ReverseProxy.sites.b.example.com.basic_auth",
        "ReverseProxy.sites.b.example.com.basic_auth.bob",
        "ReverseProxy.sites.c.example.com.challenge",
        "ReverseProxy.sites.d.example.com.certificate.chain",
    ]
    said = str(caught.value)
    assert '"apy" is not an app of this proxy; did you mean api?' in said
    assert "cannot be read: No such file" in said
    assert "under ReverseProxy.args.trusted_proxies" in said
    assert "p" * 73 not in said


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (proxy(sites={"a;b": SiteArgs(app="api")}), "ReverseProxy.sites.*is not a host name"),
        (proxy(apps={}), 'sites.api.example.com.app: "api" is not an app of this proxy; none is declared'),
        (
            proxy(SiteArgs(app="api", tls="none"), host=Host("web1", os="ubuntu-22.04")),
            "cannot be served by web1, which runs ubuntu-22.04",
        ),
        (
            proxy(SiteArgs(app="api", basic_auth={"a": "b"})),
            "is not a secret of this proxy; add b to ReverseProxy.secrets",
        ),
        (lambda: ProxiedApp("app.internal", 0), "ProxiedApp.address: .*\nProxiedApp.port: 0 is not a port"),
        (
            lambda: Certbot("c", AcmeArgs(dns=DnsArgs(provider="ovh", credentials="x")), host=Host("web1")),
            'AcmeArgs.dns.credentials: "x" is not a secret of this component; add x to its secrets',
        ),
    ],
)
def test_arguments_that_do_not_fit_are_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ArgumentsError, match=words):
        make()


def test_without_acme_lets_encrypt_issues_for_an_account_without_an_address(deploy: Deploy) -> None:
    made = deploy(proxy(acme=None)).one(":Certificate")
    assert made.inputs["server"] == certbot.PRODUCTION
    assert made.inputs["email"] == ""


def test_every_resource_adopts_if_the_host_does(deploy: Deploy) -> None:
    engine = deploy(proxy(host=Host("web1", adopt=True)))
    for kind in (":File", ":Directory", ":Service", ":Certificate"):
        assert all(made.inputs.get("adopt") is True for made in engine.of(kind)), kind


def test_no_resource_comes_before_a_dependency_of_the_component(deploy: Deploy) -> None:
    def program() -> None:
        other = pulumi.CustomResource("a:b:C", "firewall")
        proxy(opts=pulumi.ResourceOptions(depends_on=[other]))()

    engine = deploy(program)
    for made in engine.declared:
        if made.is_on_host:
            assert "firewall" in engine.before(made.name), made.name


def test_a_preview_knows_everything_except_keys_and_what_they_sign(tmp_path: Path) -> None:
    key, chain = own(tmp_path, "c.example")

    def program() -> None:
        sites = {
            SITE: SiteArgs(app="api", basic_auth={"alice": "alice"}),
            "b.example": SiteArgs(app="api", tls="internal"),
            "c.example": SiteArgs(
                redirect="https://b.example", certificate=CertificateArgs(chain=chain, key="key")
            ),
        }
        proxy(sites=sites, secrets={"alice": pulumi.Output.secret("correct horse"), "key": key})()

    assert unknown_in(program) == {
        "nginx-b.example-certificate.caCertPem",
        "nginx-b.example-certificate.caPrivateKeyPem",
        "nginx-b.example-certificate.certRequestPem",
        "nginx-b.example-certificate.content",
        "nginx-b.example-request.privateKeyPem",
        "nginx-ca-certificate.privateKeyPem",
    }
