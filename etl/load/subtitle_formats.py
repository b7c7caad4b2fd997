"""
Subtitle files out of the subtitles of a transcript: WebVTT, written by webvtt-py, and SubRip.

A subtitle without both times, or one that ends before it begins, has no place in either format; its text
stays in `subtitles`. WebVTT has entities, so `&` and `<` are escaped there. SubRip has none: players show its
text as it is. In both formats an arrow or an empty line inside a text would end the subtitle.
"""

from __future__ import annotations

import dataclasses
import html
import re
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

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
_MAX_LENGTH = 359_999_999.0
_BREAKS = re.compile(r"\s*[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]\s*")
_ARROW = re.compile(r"-{2,}>")


@dataclasses.dataclass(frozen=True, slots=True)
class _Timed:
    """A subtitle that has a place in a file: its times are milliseconds, its text has no blank lines."""

    start: int
    end: int
    text: str


def as_webvtt(cues: Iterable[Cue]) -> str:
    """Return the subtitles as WebVTT, in the order of their start; without any, it is the header alone."""
    # Most results come with their WebVTT: few runs need it.
    import webvtt  # noqa: PLC0415

    captions = [
        webvtt.Caption(_timestamp(timed.start, "."), _timestamp(timed.end, "."), _escaped(timed.text))
        for timed in _in_order(cues)
    ]
    return webvtt.WebVTT(captions=captions).content


def as_srt(cues: Iterable[Cue]) -> str:
    """
    Return the subtitles as SubRip, in the order of their start; empty if none of them has times and a text.

    The text is as it was said, but `-->` becomes `->`.
    """
    return _srt(_in_order(cues))


def srt_of_webvtt(vtt: str) -> str:
    """Return SubRip made of a WebVTT file, without its tags; empty if nothing is said in it."""
    import webvtt  # noqa: PLC0415

    try:
        captions = webvtt.WebVTT.from_string(vtt).captions
    except webvtt.errors.MalformedFileError:
        return ""
    return _srt(
        [
            _Timed(
                caption.start_time.in_milliseconds(),
                caption.end_time.in_milliseconds(),
                _without_blank_lines(html.unescape(caption.text)),
            )
            for caption in captions
        ]
    )


def has_cues(vtt: str | None) -> bool:
    """Return whether a WebVTT file shows anything: it may be missing, empty, or no more than its header."""
    return vtt is not None and "-->" in vtt


def _in_order(cues: Iterable[Cue]) -> list[_Timed]:
    """Return the subtitles that have a place in time; both formats want them in the order of their start."""
    timed = [
        _Timed(round(start * 1000), round(end * 1000), _without_blank_lines(cue.text or ""))
        for cue in cues
        if (start := cue.start_seconds) is not None
        and (end := cue.end_seconds) is not None
        and 0 <= start <= end <= _MAX_LENGTH
    ]
    return sorted(timed, key=lambda each: each.start)


def _srt(subtitles: Iterable[_Timed]) -> str:
    spoken = [each for each in subtitles if each.text]
    return "\n".join(
        f"{number}\n{_timestamp(each.start, ',')} --> {_timestamp(each.end, ',')}\n"
        f"{_ARROW.sub('->', each.text)}\n"
        for number, each in enumerate(spoken, start=1)
    )


def _without_blank_lines(text: str) -> str:
    return "\n".join(line for line in _BREAKS.split(text.replace("\0", "\ufffd").strip()) if line)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("-->", "--&gt;")


def _timestamp(milliseconds: int, mark: str) -> str:
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{mark}{rest % 1000:03}"
