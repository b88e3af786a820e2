"""The command line: `aigw serve`, `aigw mock`, `aigw call`, `aigw demo`, `aigw sim`.

This file reads arguments and turns what goes wrong into one line and an exit status: 0 for success, 1 when something
could not be done, 2 when the command line or the configuration is wrong.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import importlib.metadata
import importlib.util
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from aigw_proto.mock import MockFault, parse_fault

from .._tls import BadTlsFile, server_context
from ..simulation import UnknownScenario
from . import config
from ._call import DEFAULT_URL, call
from ._demo import run_demo
from ._serve import StartError, drop_output, run_mock, run_serve
from ._serve_sync import run_mock_in_threads, run_serve_in_threads
from ._sim import list_scenarios, parse_seeds, run_sim
from .log import make_log

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    AddParser: TypeAlias = Callable[..., argparse.ArgumentParser]

__all__ = ["build_parser", "main"]

_SERVE_EXAMPLES = """\
examples:
  aigw serve
      Try it out: gateway "default" on ws://127.0.0.1:8787, no token needed, a fake
      provider inside the process answers for every provider.

  aigw serve --config aigw.toml
      The real thing: gateways, tokens, keys and limits come from the file.

  aigw serve --config aigw.toml --check
      Check the file, report every problem in it, start nothing.

  aigw serve --config aigw.toml --mock --port 0
      The file's gateways and tokens, but the fake provider answers; on a free port,
      which the line "listening on ..." names.

  aigw serve --config aigw.toml --tls-certificate server.pem --tls-key server.key
      On wss://, which several SDKs insist on. The file can name both, too.

a small aigw.toml:
  [[gateway]]
  id = "my-gateway"
  tokens = ["env:AIGW_TOKEN"]                    # or file:PATH, or the token itself
  keys.openai = { default = "env:OPENAI_API_KEY" }

SIGTERM or SIGINT (Ctrl-C) stops it: no new work is taken, running requests finish
within the drain time. A second signal stops it at once.
"""
_MOCK_EXAMPLES = """\
examples:
  aigw mock --port 9000
      Answers like OpenAI, Anthropic, Gemini, Workers AI and others, by the path.

  aigw mock --port 9000 --chunk-delay 0.05
      Streams take their time.

  aigw mock --fault status=429,retry_after=2,times=1
      The first request fails.

SPEC is a list of items between commas; a request can bring its own in the header
"x-aigw-mock: SPEC". Times are seconds; events are those of a stream:
  status=N              answer with this HTTP status; from 400 on with an error body
  retry_after=S         add a Retry-After header
  first_byte_delay=S    wait before the answer
  chunk_delay=S         wait between events
  chunks=N              the text has N words, so a stream has N pieces of it
  stall_after=N         silence for ever after N events
  cut_after=N           end the connection after N events; 0 is behind the head
  cut_before            end the connection before the answer
  reset                 with one of these two: break the connection instead
  malformed[=N]         the JSON is torn off, of the document or of event N
  torn                  send every byte by itself
  huge=BYTES            the body is that large
  content_type=X        claim this content type
  lying_length[=N]      Content-Length promises N bytes more than follow, or fewer
  bad_chunking          garbage where the size of a chunk belongs
  bad_status_line       a status line that is none
  endless_header        a header without end
  endless_line          a line of a stream without end
  endless_json          a document without end
  gzip                  compress the body although nobody asked
  close                 "Connection: close" after the answer
  early_close_idle=S    close the idle connection S seconds after the answer
  times=K               only the first K requests are hit

On a WebSocket events are the provider's messages, and more can go wrong:
  close=CODE            close with this code; close=none: without one
  close_after=N         do so after N messages
  close_reason=TEXT     and give this reason
  hold_close            never answer a Close
  no_pong               never answer a ping
  late_pong=S           answer a ping S seconds late
  glued                 the first message is in the same bytes as the 101
  giant_frame=BYTES     the first message is one frame of at least that size
  endless_fragments[=B] the first message goes on for ever, in fragments of B bytes
  bad_frame=N           a frame with a reserved opcode after N messages
  bad_accept            the 101 proves nothing
  subprotocol=NAME      the 101 selects this subprotocol, offered or not
"""

_CALL_EXAMPLES = """\
examples (after "aigw serve" in another terminal):
  aigw call openai chat/completions '{"model": "m", "messages": [{"role": "user", "content": "Hi"}]}'

  aigw call --stream anthropic v1/messages \\
      '{"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}]}'

  AIGW_TOKEN=... aigw call --url wss://gateway.example/v1/acme/prod \\
      --header "Authorization: Bearer $OPENAI_API_KEY" openai responses - < request.json

The exit status is 0 for an answer, 1 for an error, 2 for a wrong argument.
"""
_SIM_EXAMPLES = f"""\
scenarios:
{list_scenarios()}
  FILE.py:FUNCTION or MODULE:FUNCTION, one of your own: a function of a World

examples:
  aigw sim --scenario mixed --seeds 0..999
      A thousand runs with both APIs and faults on every link.

  aigw sim --scenario mixed --seeds 17 --trace
      One of them, with everything that happened.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="aigw",
        description="An AI gateway that speaks WebSocket first: many AI requests, any HTTP provider, one socket; "
        "and realtime sessions with the providers that have them.",
        epilog='"aigw COMMAND --help" explains a command, with examples. Begin with "aigw demo".',
    )
    parser.add_argument("--version", action="version", version=f"aigw {importlib.metadata.version('aigw')}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_serve(commands.add_parser)
    _add_mock(commands.add_parser)
    _add_call(commands.add_parser)
    demo = commands.add_parser(
        "demo",
        help="show several requests at once on one WebSocket, and realtime sessions",
        description="Start a gateway and a fake provider on loopback, run several requests at once on one WebSocket "
        "and two realtime sessions, and print every frame as it arrives. Needs no key and no network; ends after a few "
        "seconds.",
    )
    demo.set_defaults(run=_demo)
    _add_sim(commands.add_parser)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status."""
    options = build_parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (config.ConfigError, UnknownScenario) as error:
        return _complain(str(error), 2)
    except StartError as error:
        return _complain(str(error), 1)
    except BrokenPipeError:  # as in "aigw call ... | head -1"
        drop_output()
        return 1
    except KeyboardInterrupt:
        return 130


def _complain(text: str, status: int) -> int:
    for line in text.splitlines():
        sys.stderr.write(f"aigw: {line}\n")
    return status


def _add_serve(add_parser: AddParser) -> None:
    parser = add_parser(
        "serve",
        help="run the gateway",
        description="Run the gateway. When it is ready it prints one line: listening on ws://HOST:PORT, or wss:// "
        "with a certificate.",
        epilog=_SERVE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file; without it, a gateway to try out")
    parser.add_argument("--check", action="store_true", help="check the configuration and start nothing")
    parser.add_argument("--mock", action="store_true", help="let the fake provider answer for every provider")
    parser.add_argument("--host", help="address to listen on (default: the file's, or 127.0.0.1)")
    parser.add_argument("--port", type=_port, help="port to listen on, 0 for a free one (default: the file's, or 8787)")
    parser.add_argument(
        "--tls-certificate",
        metavar="FILE",
        help="serve wss:// with this certificate: PEM, the server's own first, then those that lead to the root",
    )
    parser.add_argument("--tls-key", metavar="FILE", help="the private key of the certificate: PEM, without a password")
    _add_transport(parser, None)
    parser.add_argument(
        "--drain-seconds",
        type=_seconds,
        metavar="S",
        help="how long running requests may go on after a signal (default: the file's, or 10)",
    )
    _add_log_format(parser)
    parser.set_defaults(run=_serve)


def _add_mock(add_parser: AddParser) -> None:
    parser = add_parser(
        "mock",
        help="run the fake provider alone",
        description="Run a fake AI provider. When it is ready it prints one line: listening on http://HOST:PORT",
        epilog=_MOCK_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=0, help="port to listen on (default: a free one)")
    parser.add_argument("--fault", type=_fault, metavar="SPEC", help="what goes wrong with every answer; see below")
    parser.add_argument("--chunk-delay", type=_seconds, metavar="S", help="wait between the events of a stream")
    _add_transport(parser, "asyncio")
    _add_log_format(parser)
    parser.set_defaults(run=_mock)


def _add_call(add_parser: AddParser) -> None:
    parser = add_parser(
        "call",
        help="send one request to a gateway",
        description="Send one request to a gateway and print every frame of the answer, one line each, as it arrives.",
        epilog=_CALL_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("provider", metavar="PROVIDER", help="openai, anthropic, workers-ai, custom-NAME, ...")
    parser.add_argument("endpoint", metavar="ENDPOINT", help="path of the provider's API, such as chat/completions")
    parser.add_argument("query", metavar="JSON", help="body of the request, sent as it is; - reads standard input")
    parser.add_argument(
        "--url", default=os.environ.get("AIGW_URL", DEFAULT_URL), help="the gateway (default: AIGW_URL, or %(default)s)"
    )
    parser.add_argument(
        "--token", help="gateway token (default: AIGW_TOKEN, which other users of this machine cannot see)"
    )
    parser.add_argument("--stream", action="store_true", help='ask the provider for a stream: adds "stream":true')
    parser.add_argument(
        "--header",
        action="append",
        default=[],
        metavar="'NAME: VALUE'",
        help="header for the provider; may be repeated",
    )
    parser.add_argument("--timeout", type=_seconds, metavar="S", help="give up after so many seconds")
    parser.set_defaults(run=_call)


def _add_sim(add_parser: AddParser) -> None:
    parser = add_parser(
        "sim",
        help="run simulated sessions on a bad network",
        description="Run a scenario with many seeds in a simulated network: clients, the gateway and providers in one "
        "process, on virtual time. The same seed gives the same run. Exits with 1 when something did not hold.",
        epilog=_SIM_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--scenario", default="mixed", metavar="NAME", help="what to run (default: %(default)s)")
    parser.add_argument(
        "--seeds",
        type=_seeds,
        default=range(1000),
        metavar="A..B",
        help="one seed, or all from A to B (default: 0..999)",
    )
    parser.add_argument("--trace", action="store_true", help="print every input and effect of every engine")
    parser.add_argument(
        "--jobs", type=_number, default=os.cpu_count() or 1, metavar="N", help="processes (default: one for each core)"
    )
    parser.add_argument(
        "--failures", type=_number, default=5, metavar="N", help="stop after so many (default: %(default)s)"
    )
    parser.set_defaults(run=_sim)


def _add_transport(parser: argparse.ArgumentParser, default: str | None) -> None:
    parser.add_argument(
        "--transport",
        type=_transport,
        choices=config.TRANSPORTS,
        default=default,
        help="what runs the sockets: asyncio (the default) is the fastest, on uvloop where aigw[fast] is installed; "
        "anyio and trio are the anyio driver on asyncio and on trio; sync has threads and no event loop",
    )


def _add_log_format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--log-format",
        choices=("text", "json"),
        default="text",
        help="form of the log on standard error: a line for people or a JSON object (default: %(default)s)",
    )


def _serve(options: argparse.Namespace) -> int:
    file: Path | None = options.config
    configuration = config.default() if file is None else config.load(file)
    problem = _check_tls(options.tls_certificate, options.tls_key)
    if problem is not None:
        return _complain(problem, 2)
    if options.check:
        if file is None:
            return _complain("--check needs --config FILE", 2)
        sys.stdout.write(f"{file}: no problems\n")
        return 0
    names = ("host", "port", "tls_certificate", "tls_key", "transport", "drain_seconds")
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    configuration = dataclasses.replace(configuration, server=dataclasses.replace(configuration.server, **given))
    log = make_log(options.log_format, sys.stderr)
    for warning in (*configuration.warnings, *config.exposure(configuration)):
        log.caution(warning)
    run = run_serve_in_threads if configuration.server.transport == "sync" else run_serve
    return run(configuration, log, with_mock=options.mock or file is None)


def _check_tls(certificate: str | None, key: str | None) -> str | None:
    """Say what is wrong with the files of `--tls-certificate` and `--tls-key`."""
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        return "--tls-certificate and --tls-key need each other"
    context = server_context(certificate, key)
    if isinstance(context, BadTlsFile):
        return f"{'--tls-key' if context.is_key else '--tls-certificate'}: {context.message}"
    return None


def _mock(options: argparse.Namespace) -> int:
    fault: MockFault | None = options.fault
    if options.chunk_delay is not None:
        spec = f"chunk_delay={options.chunk_delay:f}"
        fault = _fault(spec if fault is None else f"{fault.spec},{spec}")
    log = make_log(options.log_format, sys.stderr)
    if options.transport == "sync":
        return run_mock_in_threads(options.host, options.port, fault, log)
    return run_mock(options.host, options.port, fault, options.transport, log)


def _call(options: argparse.Namespace) -> int:
    query: str | bytes = sys.stdin.buffer.read() if options.query == "-" else options.query
    run = functools.partial(
        call,
        options.provider,
        options.endpoint,
        query,
        url=options.url,
        stream=options.stream,
        token=options.token or os.environ.get("AIGW_TOKEN"),
        headers=options.header,
        timeout=options.timeout,
        out=sys.stdout,
        err=sys.stderr,
    )
    return anyio.run(run)


def _demo(options: argparse.Namespace) -> int:
    del options  # it has none
    return run_demo(sys.stdout)


def _sim(options: argparse.Namespace) -> int:
    return run_sim(
        options.scenario,
        options.seeds,
        trace=options.trace,
        jobs=options.jobs,
        failures=options.failures,
        out=sys.stdout,
        err=sys.stderr,
    )


def _seeds(text: str) -> range:
    try:
        return parse_seeds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _number(text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text) <= 1024:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a number from 1 to 1024, got {text!r}")


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a number from 0 to 65535, got {text!r}")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"expected a number of seconds from 0 to 3600, got {text!r}")
    return value


def _transport(text: str) -> str:
    if text == "trio" and importlib.util.find_spec("trio") is None:
        raise argparse.ArgumentTypeError("trio is not installed; install aigw[trio]")
    return text


def _fault(text: str) -> MockFault:
    fault = parse_fault(text)
    if isinstance(fault, str):
        raise argparse.ArgumentTypeError(fault)
    return fault
