"""The messages of the universal API: parse, validate, print."""

from __future__ import annotations

from ._answers import parse_server_message
from ._errors import ErrorCode, gateway_error
from ._fields import clean_value, encode_headers
from ._messages import (
    Backoff,
    ClientMessage,
    CreatedFrame,
    DoneFrame,
    EnvelopeFault,
    Metadata,
    ServerMessage,
    Step,
    StepSettings,
    StreamFrame,
    UniversalCancel,
    UniversalCreate,
)
from ._parse import parse_client_message
from ._print import StreamPrinter, print_cancel, print_create, print_created, print_done, print_stream
from ._settings import merge_settings, parse_settings
from ._text import is_json, json_string

__all__ = [
    "Backoff",
    "ClientMessage",
    "CreatedFrame",
    "DoneFrame",
    "EnvelopeFault",
    "ErrorCode",
    "Metadata",
    "ServerMessage",
    "Step",
    "StepSettings",
    "StreamFrame",
    "StreamPrinter",
    "UniversalCancel",
    "UniversalCreate",
    "clean_value",
    "encode_headers",
    "gateway_error",
    "is_json",
    "json_string",
    "merge_settings",
    "parse_client_message",
    "parse_server_message",
    "parse_settings",
    "print_cancel",
    "print_create",
    "print_created",
    "print_done",
    "print_stream",
]
