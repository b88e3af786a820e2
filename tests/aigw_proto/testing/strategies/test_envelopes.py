from __future__ import annotations

import json

from hypothesis import given, settings

from aigw_proto import Role
from aigw_proto.envelopes import UniversalCreate, parse_client_message, parse_server_message, print_create
from aigw_proto.testing.strategies import Envelope, create_messages, envelopes

MAX_EVENT_ID_BYTES = 64


@settings(max_examples=50)
@given(envelope=envelopes(Role.CLIENT, max_steps=2))
def test_a_gateway_reads_what_a_client_means(envelope: Envelope) -> None:
    parsed = parse_client_message(envelope.text, max_steps=2, max_event_id_bytes=MAX_EVENT_ID_BYTES)
    assert parsed == envelope.message


@settings(max_examples=50)
@given(envelope=envelopes(Role.SERVER))
def test_a_client_reads_what_a_gateway_means(envelope: Envelope) -> None:
    assert parse_server_message(envelope.text) == envelope.message


@settings(max_examples=50)
@given(message=create_messages())
def test_requests_survive_printing(message: UniversalCreate) -> None:
    printed = b"".join(print_create(message.event_id, message.steps))
    assert parse_client_message(printed, max_steps=3, max_event_id_bytes=MAX_EVENT_ID_BYTES) == message
    for step in message.steps:
        json.loads(step.query)
