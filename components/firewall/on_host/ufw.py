"""ufw as one policy: defaults, logging and all rules, in its files and in the kernel."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Dict

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
    """What we need besides.

    Attributes:
        files: what ufw's files say.
        found: what the kernel has other than they, by family.
        details: how each altered file differs from the one shipped.
    """

    files: Files = _NO_FILES
    found: Dict[str, Findings] = field(default_factory=dict)
    details: Dict[str, str] = field(default_factory=dict)


class UfwPolicies(Guarded[UfwPolicyDesired, _Found], Kind[UfwPolicySpec, UfwPolicyDesired, _Found]):
    """The kind ``firewall.ufw``; a host has one."""

    spec_type = UfwPolicySpec
    desired_type = UfwPolicyDesired
    facts_type = UfwPolicyFacts

    def claims(self, record: Record) -> Claims:
        """Rules and settings are read back; a file that somebody else changes is for the inventory."""
        custom = set(record.spec.get("custom", ()))
        own = [name for name in (*SHIPPED, *RULES, "ufw.conf") if name not in custom]
        folder = self._machine.ufw
        return Claims(paths=(*(str(folder / name) for name in own), str(folder.parent / "default" / "ufw")))

    def facts(self, questions: Sequence[Question[UfwPolicySpec]]) -> Answers[_Found]:
        """Two short programs, and none where ufw is not installed."""
        return each(lambda spec, _: self._read(spec.custom), questions)

    def plan(self, desired: UfwPolicyDesired, facts: _Found) -> list[Step]:
        """A step for each rule."""
        if not facts.exists:
            return [Step("enabled", "absent", "ufw installed", "install")]
        steps = []  # what people made by hand first: it is what a refusal names
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
        # Switching it on or off brings the kernel along.
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
                    hint="leave it out here: the SshServer resource opens its port and moves with it",
                )
        return None

    def is_unmodified_default(self, item: str, facts: _Found) -> bool:
        """Off and as the package left it, whatever the SSH server has written."""
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
        """Rules go in before anything is closed."""
        if not steps:
            return
        with ALONE:
            facts = self._read(desired.custom_files or ())
            if not facts.exists:
                raise AgentError(
                    "invalid",
                    "ufw is not installed on the host",
                    prop="enabled",
                    hint="depend on Packages that name ufw",
                )
            if facts.enabled and not desired.enabled:
                self._ufw("--force", "disable")
            for name in facts.altered:
                ufw_files.ship(self._machine, name)
            self._settle(facts, desired)
            want = {family: tuple(_declared_in(desired, family)) for family in FAMILIES}
            have = ufw_files.read(self._machine, ()).rules
            for argv in ufw_changes.commands(have, want, ufw_kernel.families(self._machine)):
                ufw(self._machine, argv)
            self._set_defaults(desired, facts)
            if desired.enabled and not facts.enabled:
                self._ufw("--force", "enable")
            self._mend()

    def remove(self, desired: UfwPolicyDesired, record: Record, folder: Path) -> str:
        """Rules and settings of before, in their order; the SSH server's rule stays."""
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
            self._settle(facts, before, changed=bool(kept.get("altered")))
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
        """Evaluates the rules as they will be for the next login like this one."""
        if peer is None or not desired.enabled or not facts.exists or not any(map(_can_cut, steps)):
            return None
        if peer.address.is_loopback:
            return None  # ufw accepts all of lo
        family = str(peer.address.version)
        ssh = [rule for rule in facts.files.rules[family] if rule.is_ssh]
        # The port of our own rule, if there is one: sshd may have moved since this session came in.
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
            how = "lets in six connections in 30 s and no more" if taken.action == "limit" else "refuses it"
            return AgentError(
                "lock-out",
                f"{login}: the rule {taken.match} ({taken.action}) {how}",
                prop="rules",
                hint="this deployment comes from there: leave its address out of the rule",
            )
        if desired.defaults["incoming"] == "allow" or any(
            name.startswith("before") for name in desired.custom_files or ()
        ):
            return None
        return AgentError(
            "no-ssh-rule",
            f"{login}: no rule lets it in, and the default for incoming is {desired.defaults['incoming']}",
            prop="rules",
            hint=f'declare the SshServer before the policy, or the rule "in {peer.server_port}/tcp": "allow"',
        )

    def undo(self, desired: UfwPolicyDesired, facts: _Found, steps: list[Step]) -> Undo | None:
        """Ufw's files, and the kernel as it ran before."""
        if not facts.exists or not desired.enabled or not any(map(_can_cut, steps)):
            return None
        return self._undo(facts)

    def undo_removal(self, desired: UfwPolicyDesired, record: Record, facts: _Found) -> Undo | None:
        """Switching ufw off cuts nobody off."""
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
        # The files said more than the kernel did, and the session may have come in by that: the kernel is
        # left open, and the files as they were. The next preview says so.
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
            order=f"{_named(wrong[1])} stands after {_named(wrong[0])}" if wrong else "ok",
            live=ufw_kernel.live_text(found),
            files=files,
            found=found,
            details={name: ufw_files.difference(machine, name, files.texts[name]) for name in files.altered},
        )

    def _mend(self) -> None:
        """Bring the kernel to what the files say, where it is not."""
        files = ufw_files.read(self._machine, ())
        found = ufw_kernel.differences(self._machine, files)
        if not any(findings.said for findings in found.values()):
            return
        for family, findings in found.items():
            for words in findings.open:
                ufw(self._machine, [_TABLES[family], "-D", "INPUT", *words])
            # A reload keeps the chains that hang in INPUT and its like, and so never hangs them in again.
            for hook, chain in findings.unhooked:
                ufw(self._machine, [_TABLES[family], "-A", hook, "-j", chain])
        if files.enabled:
            self._ufw("reload")
        else:
            self._ufw("--force", "disable")

    def _settle(self, facts: _Found, wanted: UfwPolicyDesired, *, changed: bool = False) -> None:
        """Settings first, and the kernel as the files say: on chains that are gone, ufw's commands fail."""
        different = {k: v for k, v in wanted.settings.items() if facts.settings[k] != v}
        if different:
            ufw_files.change_settings(self._machine, different)
        running = facts.enabled and wanted.enabled
        if running and (changed or different or facts.altered):
            self._ufw("reload")
        if running:
            self._mend()

    def _set_defaults(self, wanted: UfwPolicyDesired, facts: _Found) -> None:
        for direction in DEFAULTS:
            if facts.defaults[direction] != wanted.defaults[direction]:
                self._ufw("default", wanted.defaults[direction], direction)
        if facts.logging != wanted.logging:
            self._ufw("logging", wanted.logging)

    def _ufw(self, *words: str) -> None:
        ufw(self._machine, ["ufw", *words])


def _policy_of(kept: Mapping[str, Any]) -> UfwPolicyDesired:
    """The policy that a record keeps, without its rules; the package's where there was none."""
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


def _can_cut(step: Step) -> bool:
    """Whether it could close the way in: not a comment, a log level, or one more port that is open."""
    if step.prop.startswith("rules["):
        old, new = step.have.split()[0], step.want.split()[0]
        return new not in (old, "allow") and (new, old) not in (("absent", "deny"), ("absent", "reject"))
    if step.prop == "enabled":
        return step.want == "True"
    if step.prop.startswith("defaults."):
        return step.prop != "defaults.routed" and step.want != "allow"
    return step.prop != "logging"
