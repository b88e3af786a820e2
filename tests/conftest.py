"""What holds for every test.

Property tests draw the same examples in every run, so that a run fails for what was changed and for nothing else;
`HYPOTHESIS_PROFILE=explore make test` draws new ones. None fails because a machine is busy.
"""

from __future__ import annotations

import os

import hypothesis

from aigw_proto.ws import IMPLEMENTATION

_PATIENT = [hypothesis.HealthCheck.too_slow]
hypothesis.settings.register_profile("repeat", deadline=None, derandomize=True, suppress_health_check=_PATIENT)
hypothesis.settings.register_profile("explore", deadline=None, suppress_health_check=_PATIENT)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))


def pytest_report_header() -> str:
    return f"aigw_proto: {IMPLEMENTATION} build"
