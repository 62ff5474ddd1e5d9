"""What every resource has in common that tells of strangers in its part's own folder. They stay there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from portcullis.agent.step import WARN
from portcullis.host.provider import HostProvider, Normaliser, is_known
from portcullis.provider.diagnostics import warn

if TYPE_CHECKING:
    from portcullis.host.agent_process import Json
    from portcullis.host.session import Channel
    from portcullis.host.survey import Item
    from portcullis.provider.base import Props

_STEP = re.compile(r'strangers\["(.*)"\]', re.DOTALL)


class TellsStrangers(HostProvider):
    """Mixed into a provider whose facts have `strangers`: an `up` warns of each."""

    # What a change leaves in the state is what is there, not what should be.
    chosen = ("strangers",)

    def put(self, channel: Channel, item: Item, props: Props, **more: Any) -> Json:
        """Change what is declared, and warn of what nobody declared."""
        answer = super().put(channel, item, props, **more)
        for step in answer["steps"]:
            if step["action"] != WARN:
                continue
            found = _STEP.fullmatch(step["property"])
            stays = f"{found[1]}: {step['have']}. It stays: remove it yourself" if found else step["have"]
            warn(props["managed_by"], stays)
        return answer


def check_accepted(inputs: Normaliser) -> None:
    """Take over what may be there, and note that nothing else should be."""
    accepted = inputs.news.get("accepted")
    inputs.inputs |= {"accepted": accepted if accepted is not None else {}, "strangers": {}}
    for path, reason in (accepted or {}).items() if is_known(accepted) else ():
        if not path.startswith("/"):
            inputs.fail("accepted", f"{path!r} is not an absolute path")
        if is_known(reason) and not (isinstance(reason, str) and reason.strip()):
            inputs.fail("accepted", f"{path!r} has no reason")
