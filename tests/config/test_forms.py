"""The values that the types of the settings refuse, with reason and hint."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from portcullis.config import forms
from portcullis.config.value_types import valid

Refused = tuple[str, str] | None

DIGEST = "@sha256:" + "5f" * 32
NO_ADDRESS = ("is neither an IP address nor a host name", "write it without port, user or brackets")
NO_V6 = ("is not an IPv6 address", "write it as in 2001:db8::10, without prefix or brackets")
NO_NAME = ("is not a host name", "write it as in DNS: www.example.com")
NEEDS_NAME = ("is an address", "write the host name of the site, such as www.example.com")
NO_IMAGE = ("is not an image with a digest", "write NAME@sha256: and 64 hexadecimal digits")
HOW = "write NAME:TAG, such as redis:8, or NAME@sha256:…"
NO_NAME_OF_IMAGE = ("is not an image", HOW)
NO_TAG = ("names no tag, so each new release would change the image", HOW)
NO_USER = ("is not a user", "write a name or a number, with :group where needed")
ROOT = ("is root", "write another user that the image has, or a number")
ROOTS_GROUP = ("is in root's group, which can write files in many images", "write another group")
NO_NETWORK = (
    "is not an address or network",
    "write 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32",
)


def spelt(what: str) -> tuple[str, str]:
    return ("is not in its normal form", f"write {what}")


def named(what: str) -> tuple[str, str]:
    return ("is not in its normal form", f"write {what}")


def page(what: str) -> tuple[str, str]:
    return ("is an address", f"write {what}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("203.0.113.10", None), ("2001:db8::10", None), ("web1.example.com", None), ("WEB1", None),
        ("fe80::1%eth0", NO_ADDRESS), ("203.0.113", NO_ADDRESS), ("203.0.113.10:22", NO_ADDRESS),
        ("me@web1", NO_ADDRESS), ("[2001:db8::10]", NO_ADDRESS), ("-web1", NO_ADDRESS), ("", NO_ADDRESS),
        ("wor\N{KELVIN SIGN}", NO_ADDRESS), ("web1.", NO_ADDRESS),
    ],
)  # fmt: skip
def test_an_address(text: str, said: Refused) -> None:
    assert forms._address(text) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2001:db8::10", None), ("203.0.113.10", NO_V6), ("2001:db8::/32", NO_V6), ("[::1]", NO_V6),
        ("fe80::1%eth0", ("names an interface", "write the address that other machines reach")),
        ("2001:DB8::10", spelt("2001:db8::10")), ("2001:db8:0::10", spelt("2001:db8::10")),
    ],
)  # fmt: skip
def test_an_ipv6_address(text: str, said: Refused) -> None:
    assert forms._address_v6(text) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("www.example.com", None), ("xn--bcher-kva.example", None), ("localhost", NO_NAME),
        ("203.0.113.10", NEEDS_NAME), ("1.2", NEEDS_NAME), ("2001:db8::1", NEEDS_NAME),
        ("https://www.example.com/a:b", page("www.example.com")),
        ("http://www.example.com", page("www.example.com")),
        ("https://WWW.example.com:8443/", page("www.example.com")),
        ("https://bücher.example/", page("xn--bcher-kva.example")),
        ("https://203.0.113.10/", NEEDS_NAME), ("https://me@www.example.com/", NEEDS_NAME),
        ("ftp://www.example.com/", NEEDS_NAME), ("www.example.com:443", NEEDS_NAME),
        ("*.example.com", ("is a wildcard", "name each site")),
        ("a_b.example.com", NO_NAME), ("-a.example.com", NO_NAME), ("a b.example.com", NO_NAME),
        ("WWW.example.com", named("www.example.com")), ("www.example.com.", named("www.example.com")),
        ("bücher.example", named("xn--bcher-kva.example")), ("straße.de", named("xn--strae-oqa.de")),
        ("faß.example", named("xn--fa-hia.example")), ("λόγος.example", named("xn--oxapnm1c.example")),
        ("bu\N{COMBINING DIAERESIS}x.example", named("xn--bx-xka.example")),
        ("ü" * 70 + ".example", NO_NAME),
    ],
)  # fmt: skip
def test_the_name_of_a_site(text: str, said: Refused) -> None:
    assert forms.server_name_fault(text) == said


def test_the_name_of_a_site_also_fits_into_file_names() -> None:
    longest = ".".join(["a" * 49] * 4) + "a"
    assert len(longest) == 200
    assert forms.server_name_fault(longest) is None
    said = ("is longer than 200 characters", "the names of its log files would be too long")
    assert forms.server_name_fault(f"a{longest}") == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"redis{DIGEST}", None), (f"redis:8{DIGEST}", None), (f"ghcr.io/acme/api{DIGEST}", None),
        (f"localhost:5000/a/b_c{DIGEST}", None),
        ("redis:8", ("is not pinned: the registry may change what this name stands for", forms._DIGEST_HOW)),
        ("redis@sha256:5f", NO_IMAGE), (f"redis{DIGEST}0", NO_IMAGE), (f"Redis{DIGEST}", NO_IMAGE),
        (f"redis{DIGEST.upper()}", NO_IMAGE), ("Redis", NO_IMAGE), ("", NO_IMAGE), (DIGEST, NO_IMAGE),
    ],
)  # fmt: skip
def test_an_image_by_digest(text: str, said: Refused) -> None:
    assert forms._image(text) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("redis:8", None), (f"redis{DIGEST}", None), (f"redis:8{DIGEST}", None),
        ("localhost:5000/redis:8", None), ("redis", NO_TAG), ("localhost:5000/redis", NO_TAG),
        ("redis@sha256:5f", NO_IMAGE), ("Redis:8", NO_NAME_OF_IMAGE), ("redis:", NO_NAME_OF_IMAGE),
        ("", NO_NAME_OF_IMAGE),
    ],
)  # fmt: skip
def test_an_image_by_tag(text: str, said: Refused) -> None:
    assert forms._image_by_tag(text) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1000", None), ("node", None), ("node:node", None), ("1000:0", ROOTS_GROUP),
        ("00", ROOT), ("0", ROOT), ("root", ROOT), ("0:1000", ROOT), ("root:root", ROOT),
        ("", NO_USER), ("a b", NO_USER), ("a:b:c", NO_USER), ("-a", NO_USER), ("a" * 33, NO_USER),
        ("a" * 32, None),
    ],
)  # fmt: skip
def test_the_user_of_a_container(text: str, said: Refused) -> None:
    assert forms._container_user(text) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("203.0.113.7", None), ("203.0.113.0/24", None), ("2001:db8::/32", None), ("2001:db8::1", None),
        ("0.0.0.0/0", None), ("203.0.113.7/32", spelt("203.0.113.7")),
        ("203.0.113.7/24", spelt("203.0.113.0/24")), ("2001:db8::1/128", spelt("2001:db8::1")),
        ("2001:DB8::/32", spelt("2001:db8::/32")), ("web1", NO_NETWORK), ("203.0.113.0/33", NO_NETWORK),
        ("", NO_NETWORK),
    ],
)  # fmt: skip
def test_an_address_or_network(text: str, said: Refused) -> None:
    assert forms._network(text) == said


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("/usr/bin/tell", True), ("/a", True), ("/a.b/..c", True), ("tell", False), ("/", False), ("", False),
        ("/usr/bin/", False), ("/usr/../tell", False), ("/usr/./tell", False), ("/usr/..", False),
        ("/usr/bin/tell us", False), ("//tell", False), ("/usr//tell", False),
    ],
)  # fmt: skip
def test_the_path_of_a_program(text: str, is_one: bool) -> None:  # noqa: FBT001
    assert forms.is_program(text) is is_one


A31, A63 = "a" * 31, "a" * 63
PATTERNS = {
    "Alias": (["a", "web-1", A31, "bootstrap", "jumper", "my-jumper"],
              ["", "1a", "A", "a_b", f"{A31}a", "web1-bootstrap", "web1-jump", "-a"]),
    "AppName": (["a", "api-2", A31, "hosts", "nonesuch"],
                ["", "2a", "A", "a.b", f"{A31}a", "host", "bridge", "none", "default"]),
    "LocalFile": (["~/.ssh/id", "/a b"], ["", 'a"b', "a%b", "a\x00", "a\n"]),
    "KeyName": (["a", "A.b_c-1", "1", A63], ["", ".a", "-a", "_a", f"{A63}a", "a b"]),
    "Login": (["a", "_a", "a_b-1", "a" * 32], ["", "1a", "A", "a.b", "a" * 33]),
    "Reason": (["a", " because it is "], ["", " ", "a\nb", "\t"]),
    "EnvName": (["A", "_", "a1_B"], ["", "1A", "A-B", "A=", "A B"]),
    "Owner": (["1:0", "999:999", "4294967295:4294967295"],
              ["0:0", "a:b", "1", "1:", "01:1", "1:" + "1" * 11]),
    "SecretName": (["a", "A.b_c-1", A63], ["", "1a", ".a", f"{A63}a", "a/b"]),
    "StoreName": (["a", "redis-2", A31], ["", "2a", "A", f"{A31}a", "a.b"]),
}  # fmt: skip


@pytest.mark.parametrize(
    ("form", "text", "fits"),
    [
        *[(form, text, True) for form, (right, _) in PATTERNS.items() for text in right],
        *[(form, text, False) for form, (_, wrong) in PATTERNS.items() for text in wrong],
    ],
)
def test_the_values_that_a_pattern_accepts(form: str, text: str, fits: bool) -> None:  # noqa: FBT001
    _, kind = get_args(getattr(forms, form))
    assert (re.fullmatch(kind.pattern, text) is not None) is fits
    assert kind.hint.startswith(("write", "start", "name"))


@pytest.mark.parametrize(
    ("longest", "too_long"),
    [
        ("260w", "261w"), ("1820d", "1821d"), ("43680h", "43681h"), ("2620800m", "2620801m"),
        ("157248000s", "157248001s"), ("157248000", "157248001"),
    ],
)  # fmt: skip
def test_a_length_of_time_is_at_most_five_years(longest: str, too_long: str) -> None:
    assert forms._duration(longest) is None
    said = ("is longer than 260 weeks (five years)", "write a shorter time, such as 52w")
    assert forms._duration(too_long) == said
    assert valid(forms.Duration, longest) == longest
    assert valid(forms.Duration, too_long) is None


@pytest.mark.parametrize("text", ["", "0", "01m", "1y", "1M", "-1", "1.5h", "1 h", "1234567890"])
def test_values_that_are_no_length_of_time(text: str) -> None:
    assert valid(forms.Duration, text) is None


def test_a_port_is_a_number_of_16_bits_and_not_0() -> None:
    ports = (-1, 0, 1, 65535, 65536)
    assert [valid(forms.Port, port) for port in ports] == [None, None, 1, 65535, None]


SYSTEMS = ("debian-12", "debian-13", "ubuntu-22.04", "ubuntu-24.04")
OLD = ("debian-10", "debian-11", "ubuntu-18.04", "ubuntu-20.04")


def test_supported_systems_and_refused_systems_with_a_reason() -> None:
    words, kind = get_args(forms.Os)
    assert get_args(words) == SYSTEMS
    assert set(kind.refused) == {*OLD, "ubuntu-26.04"}


def test_the_private_networks_are_those_of_rfc_1918() -> None:
    assert list(map(str, forms.PRIVATE)) == ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]
