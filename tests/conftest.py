"""What holds for every test: no property test fails because a machine is busy."""

from __future__ import annotations

import hypothesis

hypothesis.settings.register_profile("aigw", deadline=None)
hypothesis.settings.load_profile("aigw")
