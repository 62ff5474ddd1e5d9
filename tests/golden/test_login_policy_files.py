from __future__ import annotations

import re
from typing import TYPE_CHECKING

from portcullis.components.users import render as login_policy

if TYPE_CHECKING:
    from tests.golden.conftest import Golden


def test_modules(golden: Golden) -> None:
    text = login_policy.modules("web1-login-modules", ipsec=False)
    golden("login-policy.modules.conf", text)
    named = set(re.findall(r"^(?:blacklist|install) (\S+)", text, re.MULTILINE))
    needed = {"vfat", "squashfs", "udf", "overlay", "bridge", "veth", "br_netfilter", "nf_tables"}
    assert not named & needed, "a VPS with Docker needs these modules"


def test_limits(golden: Golden) -> None:
    golden("login-policy.limits.conf", login_policy.limits("web1-login-limits"))


def test_profile(golden: Golden) -> None:
    golden("login-policy.profile.sh", login_policy.profile("web1-login-profile", 1800))
