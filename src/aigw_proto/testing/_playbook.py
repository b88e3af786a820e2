"""`Playbook`: a test of an engine, written as the script of what happens and what must follow.

    with Playbook(engine) as play:
        upstream = Placeholder[LinkId]("upstream")
        play.feed(BytesReceived(client, request)).expect(Connect(upstream.here, "api.example.com", 443, TlsPolicy()))
        play.feed(LinkConnected(upstream.value)).expect(SendBytes(upstream.value, [head]))
        play.wait(30.0).expect(CloseLink(upstream.value, CloseHow.ABORT), SendBytes(client, [error]))

Every effect must be expected before the next step and before the end of the block, in order; a mismatch shows the
whole script so far. Bytes that go to one link are compared joined, however the engine cut them into chunks and turns.
The playbook is the most obliging of drivers: it takes every byte at once (feed `BytesSent` yourself to make it slow),
keeps time by hand, and calls the engine again whenever work remains. The engine is wrapped in `Checked`.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from .._effects import SendBytes
from ._checked import Checked
from ._traced import describe

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from .._effects import Effect
    from .._kinds import Engine, LinkId

__all__ = ["Placeholder", "Playbook"]

InputT = TypeVar("InputT")
EffectT = TypeVar("EffectT")
T = TypeVar("T")


class Placeholder(Generic[T]):
    """Stands in an expected effect for a value that the test does not know: `here` to write it, `value` to read it.

    The first match fixes the value, later ones must be equal to it. With `check` only values that pass it match.
    """

    def __init__(self, name: str = "anything", check: Callable[[T], bool] | None = None) -> None:
        """Make an open placeholder; `name` is for the reader of a failure."""
        self._name = name
        self._check = check
        self._values: list[T] = []

    @property
    def here(self) -> T:
        """The placeholder itself, for use where the type checker wants the value."""
        return cast("T", self)

    @property
    def value(self) -> T:
        """What was found. Raises LookupError before a match."""
        if not self._values:
            raise LookupError(f"<{self._name}> has not been met yet")
        return self._values[0]

    def accepts(self, value: T) -> bool:
        """Say whether the value would match."""
        if self._values:
            return bool(self._values[0] == value)
        return self._check is None or self._check(value)

    def settle(self, value: T) -> None:
        """Fix the value."""
        self._values = [value]

    def __repr__(self) -> str:
        return describe(self._values[0]) if self._values else f"<{self._name}>"


_Found = list[tuple[Placeholder[object], object]]


class Playbook(Generic[InputT]):
    """Runs an engine through a script; use it as a context manager."""

    def __init__(self, engine: Engine[InputT], *, now: float = 0.0, ignore: tuple[type, ...] = ()) -> None:
        """Start a script at `now`. Effects of the types in `ignore` are not compared but kept in `ignored`."""
        self.now = now
        """The clock, in seconds; moved by `wait` and `at`."""
        self.ignored: list[Effect] = []
        """Effects of the ignored types, in order."""
        self.checked = engine if isinstance(engine, Checked) else Checked(engine)
        """The engine in its wrapper; `checked.finish()` asserts that every link is closed."""
        self._ignore = ignore
        self._pending: list[Effect] = []
        self._script: list[str] = []
        self._entered = False

    def __enter__(self) -> Self:
        self._entered = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._entered = False
        if kind is None:
            self.expect()

    def feed(self, event: InputT) -> Self:
        """Give the engine an input. Everything it did before must have been expected."""
        self._begin(f">> {describe(event)}")
        self.checked.handle(event, self.now)
        self._collect()
        self._settle()
        return self

    def wait(self, seconds: float) -> Self:
        """Let time pass, calling the engine at each of its deadlines."""
        return self.at(self.now + seconds)

    def at(self, time: float) -> Self:
        """Let time pass until `time`, calling the engine at each of its deadlines."""
        self._begin(f">> time passes until {time:.3f}")
        while (deadline := self.checked.next_timeout()) is not None and deadline <= time:
            self.now = max(self.now, deadline)
            self._wake()
            self._settle()
        self.now = max(self.now, time)
        return self

    def expect(self, *effects: Effect, any_order: bool = False) -> Self:
        """Demand these effects next, in this order unless `any_order`; without arguments, demand that there are none.

        Raises AssertionError with the whole script when they are not what the engine asked for.
        """
        if not effects:
            if self._pending:
                raise self._failure([], "nothing more was expected")
            return self
        for number, effect in enumerate(effects):
            position = self._find(effect, search=any_order)
            if position is None:
                raise self._failure(effects[number:], "the engine did not ask for what was expected")
            self._script.append(f"   << {describe(self._pending.pop(position))}")
        return self

    def take(self, kind: type[EffectT]) -> EffectT:
        """Remove and return the next effect of that type, for a closer look."""
        for position, effect in enumerate(self._pending):
            if isinstance(effect, kind):
                self._script.append(f"   << {describe(self._pending.pop(position))}")
                return effect
        raise self._failure([], f"no {kind.__name__} was asked for")

    def sent(self, link: LinkId) -> bytes:
        """Remove the next effect on that link, which must be `SendBytes`, and return its bytes."""
        for position, effect in enumerate(self._pending):
            if getattr(effect, "link", None) == link:
                if not isinstance(effect, SendBytes):
                    break
                self._script.append(f"   << {describe(self._pending.pop(position))}")
                return b"".join(effect.chunks)
        raise self._failure([], f"nothing was sent on link {link}")

    def _begin(self, line: str) -> None:
        if not self._entered:
            raise RuntimeError("a playbook is a context manager: with Playbook(engine) as play: ...")
        if self._pending:
            raise self._failure([], f"nothing more was expected before {line}")
        self._script.append(f"{self.now:.3f} {line}")

    def _wake(self) -> None:
        self.checked.handle_timeout(self.now)
        self._collect()

    def _settle(self) -> None:
        while (deadline := self.checked.next_timeout()) is not None and deadline <= self.now:
            self._wake()

    def _collect(self) -> None:
        while (effect := self.checked.poll()) is not None:
            if isinstance(effect, self._ignore):
                self.ignored.append(effect)
            elif not (isinstance(effect, SendBytes) and self._merge(effect)):
                self._pending.append(effect)

    def _merge(self, effect: SendBytes) -> bool:
        for position in reversed(range(len(self._pending))):
            other = self._pending[position]
            if getattr(other, "link", None) == effect.link:
                if isinstance(other, SendBytes):
                    self._pending[position] = SendBytes(effect.link, other.chunks + effect.chunks)
                    return True
                return False
        return False

    def _find(self, expected: Effect, *, search: bool) -> int | None:
        for position, actual in enumerate(self._pending if search else self._pending[:1]):
            found: _Found = []
            if _match(expected, actual, found):
                for placeholder, value in found:
                    placeholder.settle(value)
                return position
        return None

    def _failure(self, expected: tuple[Effect, ...] | list[Effect], why: str) -> AssertionError:
        lines = [f"{why}; the script:", *self._script]
        lines += [f"-  << {describe(effect)}" for effect in expected]
        lines += [f"+  << {describe(effect)}" for effect in self._pending]
        self._pending.clear()  # said once; the end of the block has nothing to add
        return AssertionError("\n".join(lines))


def _match(expected: object, actual: object, found: _Found) -> bool:
    """Compare structurally; open placeholders match and are noted in `found`."""
    if isinstance(expected, Placeholder):
        placeholder = cast("Placeholder[object]", expected)
        if not placeholder.accepts(actual):
            return False
        found.append((placeholder, actual))
        return True
    if (
        isinstance(expected, SendBytes)
        and isinstance(actual, SendBytes)
        and not isinstance(expected.chunks, Placeholder)
    ):
        return _match(expected.link, actual.link, found) and _match_bytes(
            expected.chunks, b"".join(actual.chunks), found
        )
    if dataclasses.is_dataclass(expected) and not isinstance(expected, type):
        return type(expected) is type(actual) and all(
            _match(getattr(expected, field.name), getattr(actual, field.name), found)
            for field in dataclasses.fields(expected)
        )
    if isinstance(expected, (list, tuple)):
        left, right = cast("list[object]", expected), cast("list[object]", actual)
        if type(left) is not type(right) or len(left) != len(right):
            return False
        return all(_match(one, two, found) for one, two in zip(left, right, strict=True))
    return bool(expected == actual)


def _match_bytes(expected: list[bytes], actual: bytes, found: _Found) -> bool:
    if len(expected) == 1 and isinstance(expected[0], Placeholder):
        return _match(expected[0], actual, found)
    return b"".join(expected) == actual
