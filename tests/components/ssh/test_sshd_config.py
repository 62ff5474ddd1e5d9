"""Pure functions for the files that sshd reads, as sshd_config(5) describes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from portcullis.components.ssh.on_host import sshd_config
from portcullis.components.ssh.on_host.sshd_config import Line

MAIN, FOLDER = Path("/etc/ssh/sshd_config"), Path("/etc/ssh/sshd_config.d")
OURS = str(FOLDER / "10-portcullis.conf")


def read(texts: dict[str, str], main: Path = MAIN) -> list[str]:
    """Return each line in force, with its place and Match condition."""
    lines = sshd_config.read_lines(main, lambda path: texts.get(str(path)))
    return [f"{line.place} {line.keyword} {line.value}" for line in lines]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("   \t", []),
        ("# Port 22", []),
        ("  #Port 22", []),
        ("= 22", []),
        ("Port 22", ["Port", "22"]),
        ("  Port\t22  ", ["Port", "22"]),
        ("Port=22", ["Port", "22"]),
        ("Port = 22", ["Port", "22"]),
        ('"Port" 22', ["Port", "22"]),
        ("Port 22 # why", ["Port", "22"]),
        ("Port 22 #why 23", ["Port", "22"]),
        ('Banner "/etc/a b" c', ["Banner", "/etc/a b", "c"]),
        ('Banner "#no comment"', ["Banner", "#no comment"]),
        ("UsePAM", ["UsePAM"]),
    ],
)
def test_the_words_of_a_line(line: str, words: list[str]) -> None:
    assert sshd_config.split(line) == words


@pytest.mark.parametrize(
    ("older", "name"),
    [
        ("ChallengeResponseAuthentication", "kbdinteractiveauthentication"),
        ("SkeyAuthentication", "kbdinteractiveauthentication"),
        ("DSAAuthentication", "pubkeyauthentication"),
        ("PubkeyAcceptedKeyTypes", "pubkeyacceptedalgorithms"),
        ("KeepAlive", "tcpkeepalive"),
        ("MaxAuthTries", "maxauthtries"),
    ],
)
def test_an_older_name_of_an_option_is_the_same_option(older: str, name: str) -> None:
    assert read({str(MAIN): f"{older} no\n"}) == [f"{MAIN}:1 {name} no"]


def test_an_include_is_read_in_place_and_its_match_block_ends_with_its_file() -> None:
    texts = {
        str(MAIN): "Port 22\nInclude a.conf /opt/b.conf gone.conf\n"
        "Match User eve\n  Include a.conf\n  X11Forwarding no\n",
        "/etc/ssh/a.conf": "\nMaxAuthTries 3\nMatch Group staff\nPermitTTY no\n",
        "/opt/b.conf": "Match all\nLogLevel DEBUG\n",
    }
    assert read(texts) == [
        f"{MAIN}:1 port 22",
        f"{MAIN}:2 include a.conf /opt/b.conf gone.conf",
        "/etc/ssh/a.conf:2 maxauthtries 3",
        "/etc/ssh/a.conf:4 permittty no for Match Group staff",
        "/opt/b.conf:2 loglevel DEBUG for Match all",
        f"{MAIN}:4 include a.conf for Match User eve",
        "/etc/ssh/a.conf:2 maxauthtries 3 for Match User eve",
        "/etc/ssh/a.conf:4 permittty no for Match Group staff",
        f"{MAIN}:5 x11forwarding no for Match User eve",
    ]


def test_includes_are_followed_to_the_same_depth_as_by_sshd() -> None:
    """By SERVCONF_MAX_DEPTH in servconf.c, sshd reads the main file and sixteen levels of included files."""
    texts = {f"/etc/ssh/{n}": f"Include {n + 1}\nBanner {n}\n" for n in range(20)}
    banners = [line for line in read(texts, Path("/etc/ssh/0")) if " banner " in line]
    assert len(banners) == 17
    assert banners[0] == "/etc/ssh/16:2 banner 16"


def test_a_pattern_matches_files_in_order_and_hidden_files_only_if_it_starts_with_a_dot(
    tmp_path: Path,
) -> None:
    for name in ("b.conf", "a.conf", ".hidden.conf", "c.txt", "1"):
        (tmp_path / name).write_text(f"Banner {name}\n")

    def banners(pattern: str) -> list[str]:
        (tmp_path / "main").write_text(f"Include {pattern}\n")
        return [line.value for line in sshd_config.read_lines(tmp_path / "main") if line.keyword == "banner"]

    assert banners("*.conf") == ["a.conf", "b.conf"]
    assert banners(f"{tmp_path}/?.conf") == ["a.conf", "b.conf"]
    assert banners("[b].conf") == ["b.conf"]
    assert banners(".*.conf") == [".hidden.conf"]
    assert banners("1") == ["1"]
    assert banners("gone/*") == banners("gone") == banners("x\0/*") == banners("x\0") == []


@pytest.mark.parametrize(
    ("address", "has_port"),
    [
        ("192.0.2.1", False),
        ("192.0.2.1:22", True),
        ("::", False),
        ("2001:db8::22", False),
        ("[::]:22", True),
        ("[::]", False),
        ("host:ssh", False),
    ],
)
def test_a_listen_address_with_and_without_a_port(address: str, has_port: bool) -> None:  # noqa: FBT001
    assert Line("f", 1, "listenaddress", (address,)).has_port is has_port


def test_sshds_test_output_is_parsed() -> None:
    printed = "port 22\nport 2222\n\npermitrootlogin no\nauthenticationmethods any publickey\nbanner\n"
    assert sshd_config.parse_effective(printed) == {
        "port": ["22", "2222"], "permitrootlogin": ["no"], "authenticationmethods": ["any publickey"],
        "banner": [""],
    }  # fmt: skip


def line(number: int, words: str, file: str = "other", match: str = "") -> Line:
    keyword, *rest = words.split()
    return Line(file, number, keyword, tuple(rest), match)


EARLY, LATE = line(1, "maxauthtries 9"), line(3, "maxauthtries 8")
OWN = line(2, "maxauthtries 3", OURS)
MATCH_EARLY = line(4, "maxauthtries 7", match="User eve")
MATCH_LATE = line(5, "maxauthtries 7", match="User eve")


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([EARLY, OWN, LATE], [EARLY]),
        ([OWN, LATE], []),
        ([EARLY, LATE], [EARLY, LATE]),
        ([line(1, "maxauthtries 3"), OWN], []),
        ([line(1, "logingracetime 9"), OWN], []),
        ([OWN, MATCH_LATE], [MATCH_LATE]),
        ([EARLY, OWN, MATCH_LATE], [EARLY]),
        ([], []),
    ],
)
def test_which_lines_win_over_ours(lines: list[Line], found: list[Line]) -> None:
    assert sshd_config.rivals(lines, OURS, "maxauthtries", {"3"}) == found


@pytest.mark.parametrize(
    "keyword",
    ["port", "hostkey", "listenaddress", "allowusers", "denyusers", "allowgroups", "denygroups", "acceptenv"],
)
def test_a_later_line_counts_for_a_cumulative_option(keyword: str) -> None:
    own, later = line(1, f"{keyword} x", OURS), line(2, f"{keyword} Y")
    assert sshd_config.rivals([own, later], OURS, keyword, {"x"}) == [later]
    assert sshd_config.rivals([own, later], OURS, keyword, {"x", "y"}) == []


def test_a_match_block_before_our_file_wins_over_our_values() -> None:
    def early(*lines: Line) -> list[Line]:
        return sshd_config.early_exceptions(list(lines), OURS, "maxauthtries", {"3"})

    assert early(EARLY, MATCH_EARLY, OWN, MATCH_LATE) == [MATCH_EARLY]
    assert early(OWN, MATCH_LATE) == []
    assert early(EARLY, MATCH_EARLY) == [MATCH_EARLY]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (f"Include {FOLDER}/*.conf", True),
        ("Include sshd_config.d/*.conf", True),
        ("Include other.conf sshd_config.d/*", True),
        (f"Include {OURS}", True),
        ("Include sshd_config.d/2*.conf", False),
        ("Include /opt/sshd_config.d/*.conf", False),
        (f"Match User eve\nInclude {FOLDER}/*.conf", False),
        (f"Banner {FOLDER}/*.conf", False),
        ("", False),
    ],
)
def test_whether_our_file_is_included_for_all_users(text: str, read: bool) -> None:  # noqa: FBT001
    lines = sshd_config.read_lines(MAIN, lambda path: text if path == MAIN else None)
    assert sshd_config.includes(lines, Path(OURS)) is read


def test_lines_that_we_turned_into_comments_come_back_unchanged() -> None:
    text = "Port 22\n\tMaxAuthTries 9\r\nBanner x"
    out = sshd_config.take_out(text, {1, 3})
    assert out == "#portcullis-off# Port 22\n\tMaxAuthTries 9\r\n#portcullis-off# Banner x"
    changed = sshd_config.with_include(out, FOLDER)
    assert changed.splitlines()[0] == f"Include {FOLDER}/*.conf # added by Portcullis"
    assert sshd_config.put_back(changed) == text
    assert sshd_config.put_back(f"{changed}\nLogLevel INFO\n") == f"{text}\nLogLevel INFO\n"
