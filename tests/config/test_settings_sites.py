"""Tests the settings of sites, and of the authority that issues their certificates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from portcullis.components.certificates import own_certificates
from portcullis.components.certificates import render as certbot
from portcullis.components.host.stack import load
from portcullis.components.nginx.args import HstsArgs, LimitsArgs, MaintenanceArgs
from tests.config.test_settings import faults, smallest

if TYPE_CHECKING:
    from pathlib import Path

    from portcullis.components.nginx.args import SiteArgs

SITE = "api.example.com"
HOW = "portcullis:sites.api.example.com"


def config(site: dict[str, Any] | None = None, **sections: Any) -> dict[str, Any]:
    """Return the smallest settings, with more keys for the site and with other sections.

    None removes a key.
    """
    made = smallest() | sections
    entry = made["sites"][SITE] | (site or {})
    made["sites"][SITE] = {key: value for key, value in entry.items() if value is not None}
    return made


def site(**keys: Any) -> SiteArgs:
    return load(config(keys)).sites[SITE]


def test_the_defaults_of_a_site_are_strict() -> None:
    found = site()
    assert (found.tls, found.challenge, found.cors, found.allow, found.basic_auth) == (
        "acme", "http", None, (), {},
    )  # fmt: skip
    assert found.hsts == HstsArgs(max_age=63_072_000)
    assert found.limits == LimitsArgs(requests=20, burst=100, connections=100, body="10M")
    assert (found.websockets, found.timeout, found.websocket_timeout) == (True, 60, 3600)


def test_every_setting_of_a_site_is_accepted() -> None:
    found = load(
        config(
            {
                "aliases": ["*.api.example.com"],
                "redirectFrom": ["old.example.com"],
                "challenge": "dns",
                "cors": {
                    "origins": ["https://app.example.com", "http://localhost:5173", "capacitor://localhost"],
                    "exposedHeaders": ["X-Total"],
                    "credentials": True,
                },
                "limits": {"requests": 0, "body": "1G"},
                "hsts": {"includeSubDomains": True, "preload": True},
                "csp": "default-src 'self'; script-src 'self' https://cdn.example.com",
                "cspReportOnly": "default-src 'none'; report-to csp",
                "headers": {"Permissions-Policy": "geolocation=(self)", "X-Frame-Options": ""},
                "basicAuth": {"alice": "alicePassword"},
                "allow": ["203.0.113.0/24"],
                "maintenance": {"except": ["203.0.113.7"]},
                "snippet": "location /x { return 204; }\n# a } in a comment\nset $y '}';\n",
            },
            secrets={"alicePassword": "correct horse", "dns": "dns_cloudflare_api_token = x"},
            acme={
                "email": "ops@example.com",
                "server": "staging",
                "profile": "tlsserver",
                "dns": {"provider": "cloudflare", "credentials": "dns"},
            },
        ),
        secret=["secrets"],
    )
    it = found.sites[SITE]
    assert it.cors is not None
    assert (it.cors.exposed_headers, it.cors.credentials, it.cors.max_age) == (("X-Total",), True, 7200)
    assert it.hsts == HstsArgs(include_sub_domains=True, preload=True)
    assert it.maintenance == MaintenanceArgs(except_=("203.0.113.7",))
    assert found.acme is not None
    assert found.acme.directory == certbot.STAGING


def test_false_switches_a_setting_off() -> None:
    found = site(hsts=False, csp=False)
    assert (found.hsts, found.csp) == (False, False)


def test_a_site_without_an_authority_needs_an_explicit_setting() -> None:
    (fault,) = faults(config(acme={}))
    assert fault.startswith(f"{HOW}: has no authority for its certificate; write portcullis:acme: {{email:")
    for other in ("internal", "none"):
        assert load(config({"tls": other}, acme={})).acme is None


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"app": None}, "app: is missing; write the app that answers, root: a folder"),
        ({"redirect": "https://x.example"}, "redirect: cannot be used beside app"),
        ({"app": None, "redirect": "x.example"}, '"x.example" is not a URL; write https://'),
        ({"app": None, "redirect": "https://["}, '"https://[" is not a URL'),
        ({"app": None, "redirect": "https://api.example.com/x"}, "leads back to this site"),
        (
            {"app": None, "redirect": "https://x.api.example.com", "aliases": ["*.api.example.com"]},
            'redirect: "https://x.api.example.com" leads back to this site; visitors would be redirected',
        ),
        ({"app": None, "redirect": "https://x.example", "cors": {"origins": []}}, "cors: has no effect"),
        ({"tls": "off"}, '"off" is not supported: its meaning is unclear; write acme or internal or none'),
        ({"tls": "letsencrypt"}, "is not a source of certificates; choose from acme, internal, none"),
        ({"aliases": ["*.example.com"]}, "aliases[0]: is a wildcard, which an authority checks by DNS only"),
        ({"aliases": ["API.example.com"]}, "is not in its normal form"),
        ({"aliases": ["a.*.example.com"]}, "is a wildcard"),
        ({"redirectFrom": ["*.example.com"]}, "is a wildcard; name each site"),
        ({"redirectFrom": ["Bücher.example"]}, "write xn--bcher-kva.example"),
        ({"redirectFrom": ["straße.de"]}, "write xn--strae-oqa.de"),
        ({"aliases": ["api.example.com"]}, "is the site's own name"),
        ({"aliases": ["x.example"], "redirectFrom": ["x.example"]}, "is a name of api.example.com already"),
        ({"challenge": "dns"}, 'challenge: "dns" needs a provider; write portcullis:acme.dns'),
        ({"challenge": "dns", "tls": "internal"}, "challenge: has an effect with tls: acme only"),
        ({"hsts": {"preload": True}}, "hsts.preload: needs includeSubDomains"),
        (
            {"hsts": {"preload": True, "includeSubDomains": True, "maxAge": 3600}},
            "hsts.preload: needs a maxAge of at least 31536000, a year",
        ),
        ({"tls": "none", "hsts": {}}, "hsts: has no effect without TLS"),
        ({"cors": {"origins": ["*"]}}, 'cors.origins[0]: "*" is not an origin; write https://host[:port]'),
        ({"cors": {"origins": ["null"]}}, '"null" is not an origin'),
        ({"cors": {"origins": ["https://a.example/"]}}, "write https://a.example"),
        ({"cors": {"origins": ["https://a.example:443"]}}, "write https://a.example"),
        ({"cors": {"origins": ["https://*.a.example"]}}, "is not an origin"),
        ({"cors": {"origins": ["https://a.example/x"]}}, "is not an origin"),
        ({"cors": {"origins": ["https://a.example;"]}}, "is not an origin"),
        ({"cors": {"origins": []}}, "cors.origins: is empty"),
        ({"cors": {}}, "cors.origins: is missing"),
        ({"cors": {"origins": ["https://a.example"], "exposedHeaders": ["*"]}}, "stands for every header"),
        ({"cors": {"origins": ["https://a.example"], "headers": ["X-A: b"]}}, "is not the name of a header"),
        ({"cors": {"origins": ["https://a.example"], "headers": ["X-'A"]}}, "is not the name of a header"),
        ({"cors": {"origins": ["https://a.example"], "methods": ["get"]}}, "is not an HTTP method"),
        (
            {"csp": "script-scr 'self'"},
            "has script-scr, which is not a CSP directive; did you mean script-src?",
        ),
        ({"csp": "default-src self"}, "has self without quotes, which means a host name; write 'self'"),
        ({"csp": "img-src a; img-src b"}, "has img-src twice, and browsers use only the first"),
        ({"csp": "default-src 'self', img-src x"}, "holds a comma"),
        ({"csp": 'default-src "x"'}, "holds a character that no policy can have"),
        ({"csp": ""}, "has no directive"),
        ({"headers": {"X-A": "a$b"}}, "is not a value that nginx can send"),
        ({"headers": {"X-A": "a\nb"}}, "is not a value that nginx can send"),
        ({"headers": {"X A": "b"}}, "is not the name of a header"),
        ({"headers": {"access-control-allow-origin": "*"}}, "has a settings key of its own; set cors"),
        ({"headers": {"Strict-Transport-Security": "max-age=0"}}, "has a settings key of its own; set hsts"),
        ({"headers": {"Content-Length": "0"}}, "is a header that nginx sends itself; leave it out"),
        ({"limits": {"body": "10 MB"}}, 'limits.body: "10 MB" is not a size; write 10M'),
        ({"limits": {"requests": -1}}, "is not a number of requests"),
        ({"timeout": 0}, "is not a number of seconds"),
        ({"allow": ["203.0.113.7/24"]}, "write 203.0.113.0/24"),
        ({"basicAuth": {"a:b": "x"}}, "is not a user name"),
        ({"basicAuth": {"alice": "nosuch"}}, '"nosuch" is not a secret of this stack; `pulumi config set'),
        (
            {"certificate": {"chain": "no/such.pem", "key": "nosuch"}, "tls": "acme"},
            "tls: cannot be used beside certificate",
        ),
        ({"snippet": "} server {"}, "closes a block that it did not open"),
        ({"snippet": "location / {"}, "leaves a block open"),
        ({"maintenance": {"message": "$host"}}, "is not a message"),
        ({"maintenance": {"message": "a\x7fb"}}, "is not a message"),
        ({"cor": {}}, "cor: is not a known key; did you mean cors?"),
    ],
)
def test_wrong_settings_of_a_site(keys: dict[str, Any], words: str) -> None:
    assert any(words in fault for fault in faults(config(keys))), faults(config(keys))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, "acme.email: is missing"),
        ({"email": "ops"}, '"ops" is not an e-mail address'),
        (
            {"email": "a@b.example", "server": "letsencrypt"},
            "is not a certificate authority; write production",
        ),
        ({"email": "a@b.example", "server": "http://ca.example/dir"}, "is not a certificate authority"),
        ({"email": "a@b.example", "caBundle": "x.pem"}, "caBundle: is for private authorities only"),
        (
            {"email": "a@b.example", "server": "https://ca.example/dir", "caBundle": "no/such.pem"},
            'caBundle: "no/such.pem" cannot be read: No such file or directory',
        ),
        ({"email": "a@b.example", "profile": "Short Lived"}, "is not the name of a profile"),
        (
            {"email": "a@b.example", "dns": {"provider": "godaddy", "credentials": "x"}},
            "is not a certbot plugin that Debian packages",
        ),
        (
            {"email": "a@b.example", "dns": {"provider": "cloudflare", "credentials": "x"}},
            'acme.dns.credentials: "x" is not a secret of this stack',
        ),
    ],
)
def test_wrong_settings_of_an_authority(keys: dict[str, Any], words: str) -> None:
    acme = keys or {"server": "staging"}
    assert any(words in fault for fault in faults(config(acme=acme))), faults(config(acme=acme))


def test_profiles_need_a_newer_certbot_than_debian_12_has() -> None:
    made = config(acme={"email": "a@b.example", "profile": "tlsserver"})
    made["hosts"]["web1"]["os"] = "debian-12"
    (fault,) = faults(made)
    assert 'acme.profile: "tlsserver" needs certbot 4, and web1, which serves api.example.com' in fault


def test_two_sites_cannot_have_one_name() -> None:
    made = config({"aliases": ["x.example"]})
    made["sites"]["www.example.com"] = {"app": "api", "redirectFrom": ["x.example", "api.example.com"]}
    found = faults(made)
    assert 'www.example.com.redirectFrom[0]: "x.example" is a name of api.example.com already' in found[0]
    assert 'redirectFrom[1]: "api.example.com" is a site of its own' in found[1]


def test_redirects_must_not_form_a_circle() -> None:
    made = config({"app": None, "redirect": "https://b.example.com/x"})
    made["sites"]["b.example.com"] = {"redirect": "https://c.example.com", "aliases": ["old.example.com"]}
    made["sites"]["c.example.com"] = {"redirect": "https://api.example.com"}
    assert [fault.partition(".redirect")[0] for fault in faults(made)] == [
        f"portcullis:sites.{name}.example.com" for name in ("api", "b", "c")
    ]
    made["sites"]["c.example.com"] = {"redirect": "https://elsewhere.example"}
    assert load(made).sites[SITE].redirect == "https://b.example.com/x"


def test_a_redirect_may_lead_to_a_site_below_another_sites_wildcard() -> None:
    made = config({"app": None, "redirect": "https://www.api.example.com", "aliases": ["*.api.example.com"]})
    made["sites"][SITE] |= {"tls": "internal"}
    made["sites"]["www.api.example.com"] = {"app": "api"}
    assert "www.api.example.com" in load(made).sites


def test_a_password_that_bcrypt_would_cut_is_refused() -> None:
    made = config({"basicAuth": {"alice": "long"}}, secrets={"long": "ä" * 37})
    (fault,) = faults(made, secret=["secrets"])
    assert "basicAuth.alice: has a password of more than 72 bytes" in fault


def test_passwords_need_https_here_or_at_a_proxy_in_front() -> None:
    made = config({"basicAuth": {"alice": "alice"}, "tls": "none"}, secrets={"alice": "geheim"})
    (fault,) = faults(made, secret=["secrets"])
    assert "basicAuth: would send passwords without encryption" in fault
    assert "portcullis:hosts.web1.proxy.trustedProxies" in fault
    made["hosts"]["web1"]["proxy"] = {"trustedProxies": ["192.0.2.0/24"]}
    assert load(made, secret=["secrets"]).sites[SITE].plain


@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        (
            {"tls": "old"},
            'proxy.tls: "old" is not supported: Mozilla\'s guideline 6.0 has removed this profile',
        ),
        ({"trustedProxies": ["0.0.0.0/0"]}, "contains every address"),
        ({"realIpHeader": "X-Real-IP"}, "has no effect unless trustedProxies is set"),
        (
            {"realIpHeader": "X-Foo", "trustedProxies": ["10.0.0.0/8"]},
            "is not a header that holds the client's",
        ),
        ({"accessLog": "xml"}, "is not a format of access logs"),
    ],
)
def test_wrong_settings_of_a_proxy(proxy: dict[str, Any], words: str) -> None:
    made = config()
    made["hosts"]["web1"]["proxy"] = proxy
    assert any(words in fault for fault in faults(made)), faults(made)


def pair(*names: str, days: int = 90) -> tuple[str, ec.EllipticCurvePrivateKey]:
    """Return a certificate for names, and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=100))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM).decode(), key


def pem(key: ec.EllipticCurvePrivateKey, passphrase: bytes = b"") -> str:
    how = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how).decode()


def own(tmp_path: Path, chain: str, key: str, **keys: Any) -> dict[str, Any]:
    (tmp_path / "www.pem").write_text(chain)
    certificate = {"chain": str(tmp_path / "www.pem"), "key": "wwwKey"}
    return config({"certificate": certificate, **keys}, secrets={"wwwKey": key}, acme={})


def test_a_certificate_from_elsewhere(tmp_path: Path) -> None:
    chain, key = pair("api.example.com", "*.example.org")
    made = own(tmp_path, chain, pem(key), redirectFrom=["a.example.org"])
    assert load(made, secret=["secrets"]).sites[SITE].certificate is not None


@pytest.mark.parametrize(("days", "words"), [(90, ""), (20, "ends on "), (-1, "expired on ")])
def test_a_certificate_from_elsewhere_that_ends_soon_is_a_warning(
    tmp_path: Path, days: int, words: str
) -> None:
    chain, key = pair("api.example.com", days=days)
    load(own(tmp_path, chain, pem(key)), secret=["secrets"])
    said = own_certificates.warning(str(tmp_path / "www.pem"))
    assert words in said if words else said == ""


def test_a_certificate_from_elsewhere_that_does_not_fit(tmp_path: Path) -> None:
    chain, key = pair("www.example.com", days=-1)
    other = pem(ec.generate_private_key(ec.SECP256R1()))
    found = faults(own(tmp_path, chain, other), secret=["secrets"])
    words = [
        "is not the key of that certificate",
        "is not for api.example.com; names of the certificate: www.example.com",
    ]
    assert len(found) == len(words)
    assert all(word in line for word, line in zip(words, found, strict=True))
    assert all(other.splitlines()[1] not in line for line in found)
    for key_text, words in (
        ("nonsense", "is not a private key in PEM"),
        (pem(key, b"x"), "has a passphrase, which nginx cannot enter"),
    ):
        assert any(words in line for line in faults(own(tmp_path, chain, key_text), secret=["secrets"]))
    found = faults(own(tmp_path, chain + pem(key), pem(key)), secret=["secrets"])
    assert any("holds a private key; keys are secrets" in line for line in found)


def test_a_password_of_72_bytes_is_read_whole() -> None:
    made = config({"basicAuth": {"alice": "long"}}, secrets={"long": "ä" * 36})
    assert load(made, secret=["secrets"]).sites[SITE].basic_auth == {"alice": "long"}


@pytest.mark.parametrize("keys", [{"tls": "internal"}, {"tls": "none"}])
def test_sites_that_need_no_authority(keys: dict[str, Any]) -> None:
    made = config(keys, acme={"email": "a@b.example", "profile": "tlsserver"})
    made["hosts"]["web1"]["os"] = "debian-12"
    load(made)
    del made["acme"]
    load(made)


def test_a_missing_authority_is_the_only_fault() -> None:
    made = config({"challenge": "dns"})
    del made["acme"]
    (fault,) = faults(made)
    assert "has no authority for its certificate; write portcullis:acme" in fault


def test_a_redirect_to_itself_or_into_a_circle() -> None:
    made = config({"app": None, "redirect": "https://api.example.com/x"})
    (fault,) = faults(made)
    assert 'redirect: "https://api.example.com/x" leads back to this site' in fault
    made = config({"app": None, "redirect": "https://b.example.com"})
    made["sites"]["b.example.com"] = {"redirect": "https://c.example.com"}
    made["sites"]["c.example.com"] = {"redirect": "https://b.example.com"}
    assert [fault.partition(".redirect")[0] for fault in faults(made)] == [
        "portcullis:sites.b.example.com", "portcullis:sites.c.example.com",
    ]  # fmt: skip


def test_a_redirect_to_a_name_below_its_own_wildcard_is_a_circle() -> None:
    made = config({"app": None, "redirect": "https://a.b.example.com", "tls": "internal"})
    made["sites"][SITE]["aliases"] = ["*.b.example.com"]
    (fault,) = faults(made)
    assert "leads back to this site" in fault
    made["sites"][SITE]["redirect"] = "https://a.c.example.com"
    load(made)


def test_a_misspelt_key_of_a_site_is_one_fault() -> None:
    config = smallest()
    config["sites"]["old.example.com"] = {"redirct": "https://api.example.com"}
    (fault,) = faults(config)
    assert fault.endswith("redirct: is not a known key; did you mean redirect?")
