"""Detection of poolers that share server sessions between clients."""

from __future__ import annotations

import functools

import pytest

from etl.database.pooler import keeps_session

MINE, OTHER = "mine", "other"


class Pool:
    """
    Sessions that a pooler hands out in transaction mode, or with `for_good` in session mode.

    The session that was used last comes first, or with `in_turn` last. A used session is available again
    after `cleaned` further requests of any client.
    """

    def __init__(self, size: int, *, most: int, in_turn: bool, cleaned: int, for_good: bool) -> None:
        self._idle = list(range(size))
        self._made = size
        self._most, self._in_turn, self._cleaned, self._for_good = most, in_turn, cleaned, for_good
        self._unclean: list[tuple[int, int]] = []
        self._held: dict[str, int] = {}
        self._asked = 0

    def ask(self, client: str, statements: bytes) -> int | None:
        self._asked += 1
        self.clean(self._asked)
        session = self._held.pop(client, None)
        if session is None:
            session = self._take()
        if session is None:
            return None
        if statements.startswith(b"BEGIN") or self._for_good:
            self._held[client] = session
        else:
            self._unclean.append((self._asked + self._cleaned, session))
        return session

    def clean(self, until: float) -> None:
        for at, session in [each for each in self._unclean if each[0] < until]:
            self._unclean.remove((at, session))
            self._idle.insert(len(self._idle) if self._in_turn else 0, session)

    def _take(self) -> int | None:
        if not self._idle and self._made < self._most:
            self._idle, self._made = [self._made], self._made + 1
        if not self._idle:
            self.clean(float("inf"))  # the client waits until a session is free
        return self._idle.pop(0) if self._idle else None


def is_kept(pool: Pool) -> bool:
    backend = pool.ask(MINE, b"SELECT")
    ask, ask_other = (functools.partial(pool.ask, client) for client in (MINE, OTHER))
    return keeps_session(ask, ask_other, backend, sleep=lambda _: pool.clean(float("inf")))


@pytest.mark.parametrize("in_turn", [False, True])
@pytest.mark.parametrize("cleaned", [0, 1, 2])
@pytest.mark.parametrize("size", range(7))
@pytest.mark.parametrize("most", [1, 2, 3, 20])
def test_shared_session_is_detected(size, most, cleaned, in_turn):
    pool = Pool(min(size, most), most=most, in_turn=in_turn, cleaned=cleaned, for_good=False)
    assert not is_kept(pool)


@pytest.mark.parametrize("in_turn", [False, True])
@pytest.mark.parametrize("size", range(7))
@pytest.mark.parametrize("most", [1, 2, 20])
def test_dedicated_session_is_not_reported_as_shared(size, most, in_turn):
    pool = Pool(min(size, most), most=most, in_turn=in_turn, cleaned=0, for_good=True)
    assert is_kept(pool)
