from __future__ import annotations

from typing import TYPE_CHECKING

from portcullis.components.firewall.render.ufw_sysctl import ufw_sysctl

if TYPE_CHECKING:
    from tests.golden.conftest import Golden


def test_kernel_parameters_of_ufw(golden: Golden) -> None:
    text = ufw_sysctl("web1-firewall-sysctl.conf")
    golden("ufw-sysctl.conf", text)
    assert not any(line.endswith("log_martians=0") and line[0] != "#" for line in text.splitlines())
