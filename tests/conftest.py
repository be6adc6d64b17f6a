"""Profiles of the property tests: `default` for the suite, `deep` for `make test-deep`, `storm` for `make storm`."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

# The suite takes the same examples each time; `make test-deep` looks for new ones.
always = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("default", always, max_examples=70, derandomize=True, stateful_step_count=16)
settings.register_profile("storm", always, max_examples=3_000)
settings.register_profile("deep", always, max_examples=20_000, stateful_step_count=40)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session", autouse=True)
def _signals_are_heard() -> None:
    """Hear SIGHUP also under `nohup`: a command ignores it there, and tests of stopping would wait for ever."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def _state_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the pace that exports share out of the user's state folder."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))
