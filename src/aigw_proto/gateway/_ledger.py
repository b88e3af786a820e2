"""What the log gets to know of one realtime session: notes while it goes on, a record for each turn and one at the end.

The observer that finds turns sees every piece of every message, and is the one part of a session that looks inside. It
is kept at arm's length: a bug of it ends the observing, not the session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._effects import LogLevel
from .._errors import CloseCode
from ..providers import hide_tokens
from ..ws._events import MessagePiece
from ._config import secrets_of
from ._leg import Side
from ._observer import Observer, Turn
from ._realtime_record import ClosedBy, SessionRecord, TurnRecord

if TYPE_CHECKING:
    from ._core import Core
    from ._upgrade import RealtimeUpgrade

__all__ = ["Ledger"]

_CLIENT = Side.CLIENT
_CLIENT_CLOSED_REQUEST = 499  # what nginx notes for a client that left before it was answered


class Ledger:
    """Notes of one session. Secrets are kept out of every text that leaves it."""

    __slots__ = (
        "_accepted_at",
        "_answered_at",
        "_closes",
        "_core",
        "_observer",
        "_peer",
        "_secrets",
        "_sent",
        "_started_at",
        "_status",
        "_subprotocol",
        "_turns",
        "_upgrade",
        "_watching",
        "closed_by",
        "error",
        "log_id",
    )

    def __init__(self, core: Core, upgrade: RealtimeUpgrade, peer: str, now: float) -> None:
        """Begin with an upgrade request that was admitted at `now`."""
        self._core = core
        self._upgrade = upgrade
        self._peer = peer
        self._secrets = (*secrets_of(upgrade.gateway), *upgrade.plan.secrets)
        self._observer = self._observe(now)
        self._watching = True
        self._started_at = now
        self._answered_at: float | None = None
        self._accepted_at = now
        self._status = _CLIENT_CLOSED_REQUEST
        self._subprotocol: str | None = None
        self._closes: dict[Side, tuple[int, str]] = {}
        self._sent: dict[Side, int] = {}
        self._turns = 0
        self.log_id = core.new_id(now)
        self.closed_by: ClosedBy | None = None
        self.error: str | None = None

    def _observe(self, now: float) -> Observer:
        plan = self._upgrade.plan
        bound = self._core.config.limits.max_observed_bytes
        return Observer(plan.dialect, now=now, max_bytes=bound, model=plan.model)

    # ---- notes -----------------------------------------------------------------------------------------------------

    def hide(self, text: str) -> str:
        """Return `text` without any secret of the session."""
        return hide_tokens(text, self._secrets)

    def answered(self, status: int, now: float, subprotocol: str | None = None) -> None:
        """Note what the client was answered; from then on messages are observed."""
        self._observer = self._observe(now)
        self._status = status
        self._answered_at = self._accepted_at = now
        self._subprotocol = subprotocol

    def ended_by(self, who: ClosedBy, error: str | None = None) -> None:
        """Note who ends the session, and what was wrong; the first to do so counts."""
        if self.closed_by is None:
            self.closed_by = who
            self.error = error

    def close_came(self, side: Side, code: int, reason: str = "") -> None:
        """Note the Close of a side, or 1006 for a connection that ended without one; the first counts."""
        self._closes.setdefault(side, (code, reason))

    def close_sent(self, side: Side, code: int | None) -> None:
        """Note what the gateway sent to a side; the first counts, since there is no second Close."""
        self._sent.setdefault(side, int(CloseCode.NO_STATUS_RECEIVED) if code is None else code)

    def code_of(self, side: Side) -> int:
        """Return the code of a side's Close; 1005 when none has come."""
        return self._closes.get(side, (int(CloseCode.NO_STATUS_RECEIVED), ""))[0]

    # ---- messages --------------------------------------------------------------------------------------------------

    def piece(self, side: Side, piece: MessagePiece, now: float) -> bool:
        """Let the observer look at a piece; True when a turn has ended with it, whose record is written."""
        if not self._watching:
            return False
        turn: Turn | None = None
        try:
            if side is _CLIENT:
                self._observer.client_piece(piece, now)
            else:
                turn = self._observer.provider_piece(piece, now)
        except Exception as error:  # noqa: BLE001 - a bug of the observer is none of the session's business
            self._watching = False
            self._core.log(LogLevel.ERROR, "a session is not observed any more", {"peer": self._peer}, error)
        if turn is None:
            return False
        self._write(turn, now)
        return True

    # ---- records ---------------------------------------------------------------------------------------------------

    def finish(self, now: float) -> None:
        """Write the record of the session, which ends now, behind that of a turn that had no end of its own."""
        if self._watching and (turn := self._observer.last(now)) is not None:
            self._write(turn, now)
        if self._upgrade.collect_log:
            self._core.journal(self._session(now))

    def _write(self, turn: Turn, now: float) -> None:
        self._turns += 1
        if self._upgrade.collect_log:
            self._core.journal(self._turn(turn, now))

    def _turn(self, turn: Turn, now: float) -> TurnRecord:
        return TurnRecord(
            session_id=self.log_id,
            turn=self._turns,
            account=self.hide(self._upgrade.account),
            gateway=self._upgrade.gateway.gateway_id,
            peer=self._peer,
            provider=self._upgrade.provider,
            model=self._maybe(self._observer.model),
            event=turn.event,
            status=self._maybe(turn.status),
            response_id=self._maybe(turn.response_id),
            tokens=turn.tokens,
            audio_seconds=turn.audio_seconds,
            client_messages=turn.client_messages,
            client_bytes=turn.client_bytes,
            provider_messages=turn.provider_messages,
            provider_bytes=turn.provider_bytes,
            duration_seconds=turn.duration_seconds,
            at_seconds=now - self._accepted_at,
        )

    def _session(self, now: float) -> SessionRecord:
        client_close, client_reason = self._closes.get(Side.CLIENT, (None, ""))
        provider_close, provider_reason = self._closes.get(Side.PROVIDER, (None, ""))
        observer = self._observer
        path = self._upgrade.plan.target.target.partition(b"?")[0].decode("latin-1")
        return SessionRecord(
            log_id=self.log_id,
            account=self.hide(self._upgrade.account),
            gateway=self._upgrade.gateway.gateway_id,
            peer=self._peer,
            provider=self._upgrade.provider,
            path=self.hide(path),
            model=self._maybe(observer.model),
            status=self._status,
            subprotocol=_without_value(self._subprotocol),
            closed_by=self.closed_by or ClosedBy.GATEWAY,
            client_close=client_close,
            client_reason=self.hide(client_reason),
            provider_close=provider_close,
            provider_reason=self.hide(provider_reason),
            sent_to_client=self._sent.get(Side.CLIENT),
            sent_to_provider=self._sent.get(Side.PROVIDER),
            error=self._maybe(self.error),
            turns=self._turns,
            tokens=dict(observer.tokens),
            client_messages=observer.client_messages,
            client_bytes=observer.client_bytes,
            provider_messages=observer.provider_messages,
            provider_bytes=observer.provider_bytes,
            opening_seconds=(now if self._answered_at is None else self._answered_at) - self._started_at,
            duration_seconds=now - self._started_at,
        )

    def _maybe(self, text: str | None) -> str | None:
        return None if text is None else self.hide(text)


def _without_value(subprotocol: str | None) -> str | None:
    """Return the name of a subprotocol item: behind its dot there may be a key, also one that no provider asks for."""
    if subprotocol is None:
        return None
    name, dot, _ = subprotocol.partition(".")
    return name + (".…" if dot else "")
