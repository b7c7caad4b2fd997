"""
The subtitles of a transcript as WebVTT, written by webvtt-py, or as SubRip.

Neither format can hold a subtitle without a start or an end, or one that ends before it starts; these are
left out. WebVTT escapes `&` and `<`; SubRip has no escapes, and players show its text as it is. In both
formats, an arrow or an empty line in the text would end the subtitle.
"""

from __future__ import annotations

import dataclasses
import html
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from etl.extract.result import Subtitle

# What the timestamps of both formats can express; far longer than any video.
_MAX_SECONDS = 359_999_999.0
_BREAKS = re.compile(r"\s*[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]\s*")
_ARROW = re.compile(r"-{2,}>")


@dataclasses.dataclass(frozen=True, slots=True)
class _TimedSubtitle:
    """A subtitle for a file: times are milliseconds, the text has no blank lines."""

    start: int
    end: int
    text: str


def as_webvtt(subtitles: Iterable[Subtitle]) -> str:
    """Return the subtitles as WebVTT, ordered by start; without subtitles, only its header."""
    # Most results include WebVTT, so few runs need this import.
    import webvtt  # noqa: PLC0415

    captions = [
        webvtt.Caption(_timestamp(timed.start, "."), _timestamp(timed.end, "."), _escaped(timed.text))
        for timed in _timed(subtitles)
    ]
    return webvtt.WebVTT(captions=captions).content


def as_srt(subtitles: Iterable[Subtitle]) -> str:
    """
    Return the subtitles as SubRip, ordered by start; empty if no subtitle has times and text.

    The text is unchanged, except that `-->` becomes `->`.
    """
    return _srt(_timed(subtitles))


def srt_of_webvtt(vtt: str) -> str:
    """Return a WebVTT file converted to SubRip, without tags; empty if it has no subtitles."""
    import webvtt  # noqa: PLC0415

    try:
        captions = webvtt.WebVTT.from_string(vtt).captions
    except webvtt.errors.MalformedFileError:
        return ""
    return _srt(
        [
            _TimedSubtitle(
                caption.start_time.in_milliseconds(),
                caption.end_time.in_milliseconds(),
                _without_blank_lines(html.unescape(caption.text)),
            )
            for caption in captions
        ]
    )


def has_subtitles(vtt: str | None) -> bool:
    """Return whether a WebVTT file exists and has subtitles, not only a header."""
    return vtt is not None and "-->" in vtt


def _timed(subtitles: Iterable[Subtitle]) -> list[_TimedSubtitle]:
    """Return the subtitles with valid times, ordered by start, as both formats require."""
    timed = [
        _TimedSubtitle(round(start * 1000), round(end * 1000), _without_blank_lines(subtitle.text or ""))
        for subtitle in subtitles
        if (start := subtitle.start_seconds) is not None
        and (end := subtitle.end_seconds) is not None
        and 0 <= start <= end <= _MAX_SECONDS
    ]
    return sorted(timed, key=lambda each: each.start)


def _srt(subtitles: Iterable[_TimedSubtitle]) -> str:
    with_text = [each for each in subtitles if each.text]
    return "\n".join(
        f"{number}\n{_timestamp(each.start, ',')} --> {_timestamp(each.end, ',')}\n"
        f"{_ARROW.sub('->', each.text)}\n"
        for number, each in enumerate(with_text, start=1)
    )


def _without_blank_lines(text: str) -> str:
    return "\n".join(line for line in _BREAKS.split(text.replace("\0", "\ufffd").strip()) if line)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("-->", "--&gt;")


def _timestamp(milliseconds: int, separator: str) -> str:
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{separator}{rest % 1000:03}"
