"""Sets how many examples a generated test tries, and how they are chosen."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

# No deadlines: the machine is shared and sometimes slow, which is not a fault of the code under test.
_UNHURRIED = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}

# `make test-all` sets SEED, and draws other examples each time.
settings.register_profile("quick", max_examples=20, derandomize="SEED" not in os.environ, **_UNHURRIED)
settings.register_profile(
    "fuzz",
    max_examples=int(os.environ.get("FUZZ", "10000")),
    print_blob=True,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    **_UNHURRIED,
)
settings.load_profile("fuzz" if "FUZZ" in os.environ else "quick")
