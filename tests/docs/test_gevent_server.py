from __future__ import annotations

import threading

from support.examples import example, stop_within_a_request, talk_to


def test_the_gateway_on_greenlets(provider: str) -> None:
    with example("gevent_server.py", provider=provider) as (process, url):
        talkers = [threading.Thread(target=talk_to, args=(url,)) for _ in range(5)]
        for talker in talkers:
            talker.start()
        for talker in talkers:
            talker.join()
        talk_to(url)
        stop_within_a_request(process, url)
