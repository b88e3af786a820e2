"""The sync driver and its client under gevent, as a program: monkey-patching is for a whole process, from its start."""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import socket  # noqa: E402 - behind the patches, as everything that follows
import sys  # noqa: E402
import threading  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402

from aigw_proto._inputs import Input  # noqa: E402
from aigw_proto._kinds import Engine  # noqa: E402
from aigw_proto.testing import SCENARIOS, Addresses, check_driver  # noqa: E402
from aigw_transports.sync import Driver, Gateway, TlsPolicy, connect, connect_realtime  # noqa: E402
from support import certificates  # noqa: E402
from support.threads import PATIENCE_SECONDS, Running, live_gateway, running  # noqa: E402


class DriverUnderTest:
    """One engine in a greenlet of its own, the other in the main one."""

    def run(self, listener: Engine[Input], connector: Callable[[Addresses], Engine[Input]]) -> None:
        """See `aigw_proto.testing.DriverUnderTest`."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # bound and not listening: connecting is refused
            with running(listener) as serving:
                closed_port: int = taken.getsockname()[1]
                addresses = Addresses("127.0.0.1", serving.port, closed_port, "x" * 64 + ".invalid")
                Running(Driver(connector(addresses))).wait()


def ask(gateway: Gateway, number: int, answers: list[bool]) -> None:
    """Ask for a stream; note whether the answer is that of the question."""
    query = {"model": "m", "stream": True, "messages": [{"role": "user", "content": f"number {number}!"}]}
    chunks = [chunk.raw for chunk in gateway.stream("openai", "chat/completions", query, timeout=PATIENCE_SECONDS)]
    answers.append(f" {number}!".encode() in b"".join(chunks))


def main(folder: Path) -> None:
    """Run the suite of all drivers, and a gateway with many clients, first without TLS and then with it."""
    check_driver(DriverUnderTest)
    print(len(SCENARIOS), "scenarios")
    certificates.authority().cert_pem.write_to_path(str(folder / "ca.pem"))
    policy = TlsPolicy(str(folder / "ca.pem"))
    for tls in (None, certificates.server(folder)):
        with live_gateway(tls=tls) as url:
            with connect(url, tls=policy, timeout=PATIENCE_SECONDS) as gateway:
                answers: list[bool] = []
                threads = [threading.Thread(target=ask, args=(gateway, number, answers)) for number in range(100)]
                for thread in threads:  # which are greenlets
                    thread.start()
                for thread in threads:
                    thread.join(PATIENCE_SECONDS)
                print(answers.count(True), "right answers")
            with connect_realtime(f"{url}/openai?model=gpt-realtime", tls=policy, timeout=PATIENCE_SECONDS) as session:
                print("session.created" in str(session.receive(timeout=PATIENCE_SECONDS)))
    print([thread.name for thread in threading.enumerate() if thread.name.startswith("aigw")])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
