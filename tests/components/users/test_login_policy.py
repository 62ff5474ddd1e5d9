"""Tests of the component `LoginPolicy`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from portcullis.components import LoginPolicy, LoginPolicyArgs
from portcullis.host import Host
from tests.previews import unknown_in

if TYPE_CHECKING:
    from tests.recording_engine import Deploy


def test_the_component_declares_three_files(deploy: Deploy) -> None:
    engine = deploy(lambda: LoginPolicy("web1-login", LoginPolicyArgs(idle=600), host=Host("web1")))
    files = {r.inputs["path"]: r.inputs for r in engine.of(":File")}
    assert set(files) == {
        "/etc/modprobe.d/portcullis.conf",
        "/etc/profile.d/portcullis.sh",
        "/etc/security/limits.d/10-portcullis.conf",
    }
    assert "export TMOUT=600\n" in files["/etc/profile.d/portcullis.sh"]["content"]
    assert not any("adopt" in inputs for inputs in files.values())


@pytest.mark.parametrize("ipsec", [True, False])
def test_modules_of_ipsec_stay_out_unless_they_are_needed(deploy: Deploy, *, ipsec: bool) -> None:
    engine = deploy(lambda: LoginPolicy("web1-login", LoginPolicyArgs(ipsec=ipsec), host=Host("web1")))
    content = engine.one(":File", "web1-login-modules").inputs["content"]
    assert ("install esp4 /bin/false\n" in content) != ipsec
    assert "install algif_aead /bin/false\n" in content


def test_with_adopt_the_files_are_taken_over(deploy: Deploy) -> None:
    engine = deploy(lambda: LoginPolicy("web1-login", LoginPolicyArgs(), host=Host("web1", adopt=True)))
    assert all(r.inputs["adopt"] is True for r in engine.of(":File"))


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match=r"LoginPolicyArgs\.idle: 5 is not a number of seconds"):
        LoginPolicyArgs(idle=5)


def test_a_preview_knows_every_value() -> None:
    assert (
        unknown_in(lambda: LoginPolicy("web1-login", LoginPolicyArgs(idle=600), host=Host("web1"))) == set()
    )
