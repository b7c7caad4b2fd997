"""
WebVTT and SubRip out of the lines of a transcript, written by webvtt-py.

A line without both times, or that ends before it begins, has no place in either; its text stays in
`subtitles`. In WebVTT `&` and `<` mean something, and in both an arrow or an empty line would end a line.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    import webvtt

    class Cue(Protocol):
        """One line of a transcript; its times are seconds."""

        @property
        def start_seconds(self) -> float | None:
            """When it begins."""

        @property
        def end_seconds(self) -> float | None:
            """When it ends."""

        @property
        def text(self) -> str | None:
            """What is said."""


# As the timestamps of both formats can say it; far more than any video lasts.
_LONGEST = 359_999_999.0
_BREAKS = re.compile(r"\s*[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]\s*")


def as_webvtt(cues: Iterable[Cue]) -> str:
    """Write WebVTT."""
    return _captions(cues).content


def as_srt(cues: Iterable[Cue]) -> str:
    """Write SubRip."""
    file = io.StringIO()
    _captions(cues).write(file, format="srt")
    text = file.getvalue()
    return f"{text}\n" if text else ""


def _captions(cues: Iterable[Cue]) -> webvtt.WebVTT:
    # Most results come with their WebVTT: few runs need it.
    import webvtt  # noqa: PLC0415

    captions = [
        webvtt.Caption(_timestamp(start), _timestamp(end), _plain(cue.text or ""))
        for cue in cues
        if (start := cue.start_seconds) is not None
        and (end := cue.end_seconds) is not None
        and 0 <= start <= end <= _LONGEST
    ]
    return webvtt.WebVTT(captions=captions)


def _plain(text: str) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace("-->", "--&gt;")
    return "\n".join(line for line in _BREAKS.split(text.replace("\0", "\ufffd").strip()) if line)


def _timestamp(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"
