from __future__ import annotations

import pytest

from aigw_proto.gateway._route import Route, parse_route


@pytest.mark.parametrize(
    ("target", "route"),
    [
        (b"/v1/acc/gw", Route("acc", "gw", "", "")),
        (b"/v1/acc/gw/", Route("acc", "gw", "", "")),
        (b"/v1/acc/gw?x=/v1/other", Route("acc", "gw", "", "")),
        (b"/v1/acc/gw/openai", Route("acc", "gw", "openai", "openai")),
        (b"/v1/acc/gw/openai?model=m&x", Route("acc", "gw", "openai", "openai?model=m&x")),
        (b"/v1/acc/gw/openai/realtime?model=m", Route("acc", "gw", "openai", "openai/realtime?model=m")),
        (
            b"/v1/acc/gw/google-ai-studio//ws/g%2Fx",
            Route("acc", "gw", "google-ai-studio", "google-ai-studio//ws/g%2Fx"),
        ),
        (b"/v1/acc/gw//ws/google", Route("acc", "gw", "", "/ws/google")),
        (b"/v1/a%20c/g%2Fw", Route("a c", "g/w", "", "")),
    ],
)
def test_routes(target: bytes, route: Route) -> None:
    assert parse_route(target) == route


@pytest.mark.parametrize(
    "target",
    [
        b"/",
        b"*",
        b"",
        b"/v1",
        b"/v1/acc",
        b"/v1//gw",
        b"/v1/acc/",
        b"/v2/acc/gw",
        b"//v1/acc/gw",
        b"http://host/v1/acc/gw",
        b"/v1/acc/%ff",
        b"/v1/" + b"a" * 129 + b"/gw",
    ],
)
def test_other_targets_name_no_gateway(target: bytes) -> None:
    assert parse_route(target) is None
