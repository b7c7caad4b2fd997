"""What the next run asks for. Pure: everything it depends on is a parameter."""

from __future__ import annotations

import dataclasses
import datetime as dt

# Without the server's clock this machine's stands in for it; it may be wrong by as much.
CLOCK_DOUBT = dt.timedelta(days=1)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """
    What a run reads: the tasks created from `start` on, or, without one, all of them.

    `filters` are the parameters of the list request that yields them.
    """

    start: dt.datetime | None
    filters: dict[str, str]

    @property
    def is_everything(self) -> bool:
        """Whether reading it proves what is not there."""
        return self.start is None


EVERYTHING = Window(start=None, filters={})


def plan_window(
    watermark: dt.datetime | None, *, lookback: dt.timedelta, now: dt.datetime | None, verdict: str
) -> Window:
    """
    Choose what an incremental run reads.

    It begins `lookback` before the watermark, because a task may be listed a while after it was created; rows
    read twice cost a request and nothing else. A watermark ahead of `now`, the server's time if it is known,
    would leave a gap, so the earlier of the two counts. Only under the verdict `gte` does `date_created` cut
    what is older; under any other one everything is read, which is always right.
    """
    if watermark is None or verdict != "gte":
        return EVERYTHING
    return window_since(min(watermark, now or watermark) - lookback)


def window_since(start: dt.datetime) -> Window:
    """Ask for what was created at or after `start`, cut to the second, which every server reads."""
    start = start.astimezone(dt.UTC).replace(microsecond=0)
    return Window(start=start, filters={"date_created": start.isoformat().replace("+00:00", "Z")})


def next_watermark(
    watermark: dt.datetime | None, *, served_at: dt.datetime | None, now: dt.datetime
) -> dt.datetime:
    """
    Choose the watermark that a complete run leaves behind.

    `served_at` is the server's clock when it gave the run's first answer, `now` this machine's. Never earlier
    than the one before: what it covers stays covered.
    """
    reached = served_at if served_at is not None else now - CLOCK_DOUBT
    return reached if watermark is None else max(watermark, reached)
