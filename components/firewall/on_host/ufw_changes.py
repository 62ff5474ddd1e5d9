"""Finds the fewest ufw commands that turn the present rules into the declared ones, without a reset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portcullis.components.firewall.on_host.ufw_rules import FAMILIES, overlap

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from portcullis.components.firewall.on_host.ufw_rules import Family, Rule, Rules

Commands = list[tuple[str, ...]]
_Lists = dict[str, list["Rule"]]


def commands(have: Rules, want: Rules, families: Sequence[Family]) -> Commands:
    """Return the commands that turn `have` into `want`, with refusing rules before allowing rules.

    Rules of the SSH server in `have` stay where they are. The order of the rules in `want` does not matter.

    Args:
        have: the rules in ufw's files.
        want: the declared rules.
        families: the address families of the host, which may lack IPv6.
    """
    plan = _Plan(have, families)
    wanted = {f: {str(rule.match): rule for rule in want[f]} for f in families}
    plan.delete(lambda f, rule: _must_go(rule, wanted[f].get(str(rule.match))))
    plan.delete_repeated()
    plan.change(wanted)
    plan.add(
        sorted({rule for f in families for rule in want[f]}, key=lambda r: (r.rank, str(r.match))), wanted
    )
    plan.sort()
    return plan.commands


def restoration(have: Rules, original: Rules, families: Sequence[Family]) -> Commands:
    """Return the commands that restore the rules of `original`, in their order.

    Rules of the SSH server stay.
    """
    plan = _Plan(have, families)
    theirs = {f: {str(rule.match) for rule in have[f] if rule.is_ssh} for f in families}
    kept = {f: [r for r in original[f] if str(r.match) not in theirs[f] and not r.is_ssh] for f in families}
    if all([r for r in have[f] if not r.is_ssh] == kept[f] for f in families):
        return []
    plan.delete(lambda _f, rule: not rule.is_ssh)
    for family in families:
        for rule in kept[family]:
            plan.commands.append(rule.argv(family=_only(rule, family)))
    return plan.commands


def misplaced(rules: Sequence[Rule]) -> tuple[Rule, Rule] | None:
    """Return the first two rules in the wrong order: the earlier one matches packets of the later one."""
    found = None
    for number, later in enumerate(rules):
        if later.is_ssh or (found and found[1].rank <= later.rank):
            continue
        for earlier in rules[:number]:
            if earlier.rank > later.rank and overlap(earlier.match, later.match):
                found = earlier, later
                break
    return found


def _must_go(rule: Rule, wanted: Rule | None) -> bool:
    # A rule with another rank needs another place, so it is deleted and added again.
    return not rule.is_ssh and (wanted is None or wanted.rank != rule.rank)


def _only(rule: Rule, family: Family) -> Family:
    """Return the address family to name in a command; "" if the addresses of the rule already imply it."""
    return family if len(rule.match.families) > 1 else ""


class _Plan:
    """The ufw commands that are planned so far, and the rules that ufw has after these commands."""

    def __init__(self, have: Rules, families: Sequence[Family]) -> None:
        self._lists: _Lists = {f: list(have[f]) for f in families}
        self.commands: Commands = []

    def delete(self, must_go: Callable[[Family, Rule], bool]) -> None:
        going = {f: [rule for rule in rules if must_go(f, rule)] for f, rules in self._lists.items()}
        done: set[tuple[str, ...]] = set()
        for family, rules in going.items():
            for rule in rules:
                self._lists[family].remove(rule)
                both = all(rule in going[f] for f in rule.match.families if f in going)
                argv = rule.argv("delete", family="" if both else _only(rule, family))
                if argv not in done:
                    self.commands.append(argv)
                done.add(argv)

    def delete_repeated(self) -> None:
        """Delete the second copy of a rule that somebody wrote into the file twice."""
        for family, rules in self._lists.items():
            seen: set[str] = set()
            for rule in list(rules):
                if str(rule.match) in seen:
                    self.commands.append(rule.argv("delete", family=_only(rule, family)))
                    rules.remove(rule)
                seen.add(str(rule.match))

    def change(self, wanted: dict[Family, dict[str, Rule]]) -> None:
        """Change the action, logging or comment of rules whose match stays the same.

        ufw changes such rules without moving them.
        """
        done: set[tuple[str, ...]] = set()
        for family, rules in self._lists.items():
            for number, rule in enumerate(rules):
                want = wanted[family].get(str(rule.match))
                if rule.is_ssh or want is None or want.value == rule.value:
                    continue
                rules[number] = want
                both = all(str(want.match) in {str(r.match) for r in self._lists[f]} for f in self._lists)
                same = all(wanted[f].get(str(want.match)) == want for f in self._lists)
                argv = want.argv(family="" if both and same else _only(want, family))
                if argv not in done:
                    self.commands.append(argv)
                done.add(argv)

    def add(self, rules: Sequence[Rule], wanted: dict[Family, dict[str, Rule]]) -> None:
        for rule in rules:
            missing = [
                f
                for f in self._lists
                if wanted[f].get(str(rule.match)) == rule
                and str(rule.match) not in {str(r.match) for r in self._lists[f]}
            ]
            at_the_end = all(self._place(rule, f) == len(self._lists[f]) for f in missing)
            if (
                missing
                and at_the_end
                and len(missing) == len([f for f in rule.match.families if f in self._lists])
            ):
                self.commands.append(rule.argv())
                for family in missing:
                    self._lists[family].append(rule)
            else:
                for family in missing:
                    self._insert(rule, family)

    def sort(self) -> None:
        """Move refusing rules before allowing rules, if both match the same packets."""
        for family, rules in self._lists.items():
            for _ in range(2 * len(rules) + 1):
                wrong = misplaced(rules)
                if wrong is None:
                    break
                rules.remove(wrong[1])
                self.commands.append(wrong[1].argv("delete", family=_only(wrong[1], family)))
                self._insert(wrong[1], family)

    def _place(self, rule: Rule, family: Family) -> int:
        rules = self._lists[family]
        return next((n for n, other in enumerate(rules) if other.rank > rule.rank), len(rules))

    def _insert(self, rule: Rule, family: Family) -> None:
        place, rules = self._place(rule, family), self._lists[family]
        if place == len(rules):
            verb: tuple[str, ...] = ()
        else:
            # ufw numbers the IPv6 rules after the IPv4 rules.
            before = len(self._lists["4"]) if family == FAMILIES[1] else 0
            verb = ("insert", str(before + place + 1))
        self.commands.append(rule.argv(*verb, family=_only(rule, family)))
        rules.insert(place, rule)
