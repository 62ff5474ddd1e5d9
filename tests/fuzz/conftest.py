"""How many examples, and which."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

# The machine is shared and slow at times, which is no fault of what is tested.
_UNHURRIED = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}

settings.register_profile("quick", max_examples=20, derandomize=True, **_UNHURRIED)
settings.register_profile(
    "fuzz",
    max_examples=int(os.environ.get("FUZZ", "10000")),
    print_blob=True,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    **_UNHURRIED,
)
settings.load_profile("fuzz" if "FUZZ" in os.environ else "quick")
