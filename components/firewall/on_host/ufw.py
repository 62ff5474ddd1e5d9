"""The agent's code for ufw's policy.

It reads and changes the defaults, the logging and all rules, both in ufw's files and in the kernel.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from portcullis.agent.claims import Claims
from portcullis.agent.errors import AgentError
from portcullis.agent.guarded import Guarded, Undo
from portcullis.agent.kind import Kind, each
from portcullis.agent.step import Json, Step, compare
from portcullis.components.firewall.facts import (
    DEFAULTS,
    SETTINGS,
    SHIPPED,
    UfwPolicyDesired,
    UfwPolicyFacts,
    UfwPolicySpec,
)
from portcullis.components.firewall.on_host import ufw_changes, ufw_files, ufw_kernel
from portcullis.components.firewall.on_host.ufw_command import ALONE, ufw
from portcullis.components.firewall.on_host.ufw_files import RULES, Files
from portcullis.components.firewall.on_host.ufw_names import declared
from portcullis.components.firewall.on_host.ufw_rules import (
    FAMILIES,
    Rule,
    merged,
    parse_tuples,
    verdict,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from portcullis.agent.guarded import Peer
    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.store import Record
    from portcullis.components.firewall.on_host.ufw_live import Findings
    from portcullis.components.firewall.on_host.ufw_rules import Rules

_TABLES = {"4": "iptables", "6": "ip6tables"}
_INIT = "/lib/ufw/ufw-init"


_NO_FILES = Files(
    enabled=False,
    logging="",
    defaults={},
    settings={},
    altered={},
    rules=dict.fromkeys(FAMILIES, ()),
    texts={},
)


@dataclass(frozen=True)
class _Found(UfwPolicyFacts):
    """The facts of ufw, and more values that the plan and the undo need.

    Attributes:
        files: the content of ufw's files.
        found: the differences between the kernel and the files, by address family.
        details: the difference of each altered file from the shipped file.
    """

    files: Files = _NO_FILES
    found: dict[str, Findings] = field(default_factory=dict)
    details: dict[str, str] = field(default_factory=dict)


class UfwPolicies(Guarded[UfwPolicyDesired, _Found], Kind[UfwPolicySpec, UfwPolicyDesired, _Found]):
    """Handles the host resource of the kind ``firewall.ufw``. A host has one such resource."""

    spec_type = UfwPolicySpec
    desired_type = UfwPolicyDesired
    facts_type = UfwPolicyFacts

    def claims(self, record: Record) -> Claims:
        """Claim ufw's files, except custom files, which the inventory reports."""
        custom = set(record.spec.get("custom", ()))
        own = [name for name in (*SHIPPED, *RULES, "ufw.conf") if name not in custom]
        folder = self._machine.ufw
        return Claims(paths=(*(str(folder / name) for name in own), str(folder.parent / "default" / "ufw")))

    def facts(self, questions: Sequence[Question[UfwPolicySpec]]) -> Answers[_Found]:
        """Read ufw's files and the kernel's rules.

        The programs iptables-save and ip6tables-save print the kernel's rules.
        """
        return each(lambda spec, _: self._read(spec.custom), questions)

    def plan(self, desired: UfwPolicyDesired, facts: _Found) -> list[Step]:
        """Return a step for each rule, file or setting of ufw that differs."""
        if not facts.exists:
            return [Step("enabled", "absent", "ufw installed", "install")]
        steps = []  # steps of rules come first, because a refusal names the first step
        have, want = facts.rules, desired.rules
        for name in sorted({*have, *want}):
            old, new = have.get(name), want.get(name)
            if old != new:
                action = "delete" if new is None else "add" if old is None else "change"
                steps.append(Step(f'rules["{name}"]', old or "absent", new or "absent", action))
        for name, state in facts.altered.items():
            detail = facts.details.get(name, "")
            steps.append(Step(f"altered.{name}", state, "as shipped", "restore", detail))
        for group, have, want in (
            ("settings", facts.settings, desired.settings),
            ("defaults", facts.defaults, desired.defaults),
        ):
            steps += [
                Step(f"{group}.{key}", have[key], value, "set")
                for key, value in sorted(want.items())
                if have[key] != value
            ]
        steps += compare(desired, facts, ("logging", "enabled"), "set")
        if facts.order != "ok":
            steps.append(Step("order", facts.order, "ok", "move"))
        # A command that switches ufw on or off also updates the kernel.
        if facts.live != "ok" and facts.enabled == desired.enabled:
            steps.append(Step("live", facts.live, "ok", "reload"))
        return steps

    def obstacle(self, desired: UfwPolicyDesired, facts: _Found) -> AgentError | None:
        theirs = {
            (f, str(rule.match)) for f, rules in facts.files.rules.items() for rule in rules if rule.is_ssh
        }
        for name, value in desired.rules.items():
            if any((f, str(r.match)) in theirs for f, rules in declared(name, value).items() for r in rules):
                return AgentError(
                    "conflict",
                    f"{name} is the SSH server's own rule",
                    prop="rules",
                    hint="remove the rule here: the SshServer resource declares it and updates its port",
                )
        return None

    def is_unmodified_default(self, item: str, facts: _Found) -> bool:
        """Whether ufw is off and has the package's settings. Rules of the SSH server do not count."""
        return (
            not facts.enabled
            and not facts.rules
            and not facts.altered
            and facts.defaults == DEFAULTS
            and facts.settings == SETTINGS
            and facts.logging == "low"
        )

    def original(self, item: str, facts: _Found, folder: Path) -> Json:
        if not facts.exists:
            return {"type": "absent"}
        files = facts.files
        changed = sorted(name for name, state in files.altered.items() if state != "absent")
        for name in changed:
            (folder / name).write_bytes(files.texts[name].encode("utf-8", "surrogateescape"))
        return {
            "type": "policy",
            "altered": changed,
            "tuples": {
                family: [
                    line
                    for line in files.texts[f"user{ufw_files.SUFFIX[family]}.rules"].splitlines()
                    if line.startswith("### tuple ###")
                ]
                for family in FAMILIES
            },
            "enabled": facts.enabled,
            "defaults": dict(facts.defaults),
            "logging": facts.logging,
            "settings": dict(facts.settings),
        }

    def apply(self, desired: UfwPolicyDesired, steps: list[Step], work: Work) -> None:
        """Change the rules first and then the defaults, so that no declared port is closed in between."""
        if not steps:
            return
        with ALONE:
            facts = self._read(desired.custom_files or ())
            if not facts.exists:
                raise AgentError(
                    "invalid",
                    "ufw is not installed on the host",
                    prop="enabled",
                    hint="add a `Packages` resource with ufw to the `depends_on` of the firewall policy",
                )
            if facts.enabled and not desired.enabled:
                self._ufw("--force", "disable")
            for name in facts.altered:
                ufw_files.ship(self._machine, name)
            self._apply_settings(facts, desired)
            want = {family: tuple(_declared_in(desired, family)) for family in FAMILIES}
            have = ufw_files.read(self._machine, ()).rules
            for argv in ufw_changes.commands(have, want, ufw_kernel.families(self._machine)):
                ufw(self._machine, argv)
            self._set_defaults(desired, facts)
            if desired.enabled and not facts.enabled:
                self._ufw("--force", "enable")
            self._repair_kernel()

    def remove(self, desired: UfwPolicyDesired, record: Record, folder: Path) -> str:
        """Restore the earlier settings, and the earlier rules in their earlier order.

        The rule of the SSH server stays.
        """
        custom = desired.custom_files or ()
        with ALONE:
            facts = self._read(custom)
            if not facts.exists:
                return "absent"
            kept = record.original
            before = _policy_of(kept)
            if facts.enabled and not before.enabled:
                self._ufw("--force", "disable")
            for name in kept.get("altered", ()):
                with contextlib.suppress(FileNotFoundError):
                    ufw_files.put(
                        self._machine, name, (folder / name).read_bytes().decode("utf-8", "surrogateescape")
                    )
            self._apply_settings(facts, before, changed=bool(kept.get("altered")))
            tuples = kept.get("tuples", {})
            original: Rules = {f: parse_tuples("\n".join(tuples.get(f, ()))) for f in FAMILIES}
            have = ufw_files.read(self._machine, custom).rules
            for argv in ufw_changes.restoration(have, original, ufw_kernel.families(self._machine)):
                ufw(self._machine, argv)
            self._set_defaults(before, facts)
            if before.enabled and not facts.enabled:
                self._ufw("--force", "enable")
        return "restored"

    # Guarded ------------------------------------------------------------------------------------------------

    def preflight(
        self, desired: UfwPolicyDesired, facts: _Found, steps: list[Step], peer: Peer | None
    ) -> AgentError | None:
        """Check that the new rules accept the next login from the address of this session."""
        if peer is None or not desired.enabled or not facts.exists or not any(map(_can_lock_out, steps)):
            return None
        if peer.address.is_loopback:
            return None  # ufw accepts all packets on the interface lo
        family = str(peer.address.version)
        ssh = [rule for rule in facts.files.rules[family] if rule.is_ssh]
        # Take the port from the SSH server's rule if there is one, because sshd may have moved since this
        # session began.
        moved = [int(rule.match.dport) for rule in ssh if rule.match.dport.isdecimal()]
        if moved and peer.server_port not in moved:
            peer = replace(peer, server_port=moved[0])
        packet = ufw_kernel.packet_of(peer)
        rules = sorted([*_declared_in(desired, family), *ssh], key=lambda rule: rule.rank)
        taken = verdict(rules, packet)
        login = f"{peer.address} could not log in on port {peer.server_port} any more"
        if taken is not None:
            if taken.is_ssh or taken.action == "allow":
                return None
            how = "lets in only six connections per 30 s" if taken.action == "limit" else "refuses it"
            return AgentError(
                "lock-out",
                f"{login}: the rule {taken.match} ({taken.action}) {how}",
                prop="rules",
                hint="you deploy from this address: exclude it from the rule",
            )
        if desired.defaults["incoming"] == "allow" or any(
            name.startswith("before") for name in desired.custom_files or ()
        ):
            return None
        return AgentError(
            "no-ssh-rule",
            f"{login}: no rule lets it in, and the default for incoming packets is "
            f"{desired.defaults['incoming']}",
            prop="rules",
            hint=f'declare the SshServer before the policy, or the rule "in {peer.server_port}/tcp": "allow"',
        )

    def undo(self, desired: UfwPolicyDesired, facts: _Found, steps: list[Step]) -> Undo | None:
        """Return an undo that restores ufw's files and the kernel's rules."""
        if not facts.exists or not desired.enabled or not any(map(_can_lock_out, steps)):
            return None
        return self._undo(facts)

    def undo_removal(self, desired: UfwPolicyDesired, record: Record, facts: _Found) -> Undo | None:
        """Return an undo only if ufw stays on. If ufw is switched off, nobody loses access."""
        if not facts.exists or not record.original.get("enabled"):
            return None
        return self._undo(facts)

    def _undo(self, facts: _Found) -> Undo:
        names = ["ufw.conf", *SHIPPED, *RULES]
        paths = (
            *(str(self._machine.ufw / name) for name in names),
            str(self._machine.ufw.parent / "default" / "ufw"),
        )
        if not facts.enabled:
            return Undo(paths, (("ufw", "--force", "disable"),))
        if ufw_kernel.may_reload(facts.files, facts.found, self._machine.peer):
            return Undo(paths, (("ufw", "reload"),))
        # The kernel differed from the files, and this session may depend on the difference. So the undo
        # restores the files and leaves the kernel open. The next preview shows the open kernel.
        return Undo(paths, ((_INIT, "force-stop"),))

    # Steps --------------------------------------------------------------------------------------------------

    def _read(self, custom: Sequence[str]) -> _Found:
        machine = self._machine
        if not machine.ufw_shipped.is_dir():
            return _Found(exists=False)
        files = ufw_files.read(machine, custom)
        found = ufw_kernel.differences(self._machine, files)
        families = ufw_kernel.families(machine)
        wrong = next(filter(None, (ufw_changes.misplaced(files.rules[f]) for f in families)), None)
        return _Found(
            exists=True,
            enabled=files.enabled,
            defaults=files.defaults,
            logging=files.logging,
            rules=merged(files.rules, families),
            settings=files.settings,
            altered=files.altered,
            order=f"{_named(wrong[1])} comes after {_named(wrong[0])}" if wrong else "ok",
            live=ufw_kernel.live_text(found),
            files=files,
            found=found,
            details={name: ufw_files.difference(machine, name, files.texts[name]) for name in files.altered},
        )

    def _repair_kernel(self) -> None:
        """Make the kernel's rules match the files, if they differ."""
        files = ufw_files.read(self._machine, ())
        found = ufw_kernel.differences(self._machine, files)
        if not any(findings.differences for findings in found.values()):
            return
        for family, findings in found.items():
            for words in findings.open:
                ufw(self._machine, [_TABLES[family], "-D", "INPUT", *words])
            # A reload of ufw does not add jumps from INPUT, OUTPUT and FORWARD to chains that exist already.
            for hook, chain in findings.unhooked:
                ufw(self._machine, [_TABLES[family], "-A", hook, "-j", chain])
        if files.enabled:
            self._ufw("reload")
        else:
            self._ufw("--force", "disable")

    def _apply_settings(self, facts: _Found, wanted: UfwPolicyDesired, *, changed: bool = False) -> None:
        """Write the settings, and make the kernel match ufw's files.

        ufw's commands need the chains of these files.
        """
        different = {k: v for k, v in wanted.settings.items() if facts.settings[k] != v}
        if different:
            ufw_files.change_settings(self._machine, different)
        running = facts.enabled and wanted.enabled
        if running and (changed or different or facts.altered):
            self._ufw("reload")
        if running:
            self._repair_kernel()

    def _set_defaults(self, wanted: UfwPolicyDesired, facts: _Found) -> None:
        for direction in DEFAULTS:
            if facts.defaults[direction] != wanted.defaults[direction]:
                self._ufw("default", wanted.defaults[direction], direction)
        if facts.logging != wanted.logging:
            self._ufw("logging", wanted.logging)

    def _ufw(self, *words: str) -> None:
        ufw(self._machine, ["ufw", *words])


def _policy_of(kept: Mapping[str, Any]) -> UfwPolicyDesired:
    """Return the recorded policy, but without rules.

    If no policy is recorded, return the policy of ufw's package.
    """
    if kept.get("type") != "policy":
        return UfwPolicyDesired(enabled=False, logging="low", defaults=DEFAULTS, rules={}, settings=SETTINGS)
    return UfwPolicyDesired(
        enabled=kept["enabled"],
        logging=kept["logging"],
        defaults=kept["defaults"],
        rules={},
        settings=kept["settings"],
    )


def _declared_in(desired: UfwPolicyDesired, family: str) -> list[Rule]:
    return [rule for name, value in sorted(desired.rules.items()) for rule in declared(name, value)[family]]


def _named(rule: Rule) -> str:
    return f"{rule.match} ({rule.action})"


def _can_lock_out(step: Step) -> bool:
    """Whether a step could lock somebody out.

    A new comment, log level or open port cannot lock anybody out.
    """
    if step.prop.startswith("rules["):
        old, new = step.have.split()[0], step.want.split()[0]
        return new not in (old, "allow") and (new, old) not in (("absent", "deny"), ("absent", "reject"))
    if step.prop == "enabled":
        return step.want == "True"
    if step.prop.startswith("defaults."):
        return step.prop != "defaults.routed" and step.want != "allow"
    return step.prop != "logging"
