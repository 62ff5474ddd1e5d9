"""The list of all policies, in the order of reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portcullis.policy import containers, login, network, secrets, sites, stores

if TYPE_CHECKING:
    from portcullis.policy.model import Policy

POLICIES: tuple[Policy, ...] = (
    *containers.POLICIES,
    *secrets.POLICIES,
    *stores.POLICIES,
    *network.POLICIES,
    *login.POLICIES,
    *sites.POLICIES,
)
BY_NAME = {policy.name: policy for policy in POLICIES}
