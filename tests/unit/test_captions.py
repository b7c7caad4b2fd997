"""Subtitle files out of the lines of a transcript, whatever those hold."""

from __future__ import annotations

import io

import pytest
import webvtt
from hypothesis import given
from hypothesis import strategies as st

from etl.extract.result import Subtitle
from etl.load.captions import as_srt, as_webvtt


def a_cue(start: float | None, end: float | None, text: str | None = "words") -> Subtitle:
    return Subtitle(start_seconds=start, end_seconds=end, text=text)


def test_webvtt_and_srt_say_the_same():
    cues = [a_cue(1, 2.5, "Guten Tag"), a_cue(3661.001, 3662, "你好\nzweite Zeile")]
    assert as_webvtt(cues) == (
        "WEBVTT\n\n00:00:01.000 --> 00:00:02.500\nGuten Tag\n\n"
        "01:01:01.001 --> 01:01:02.000\n你好\nzweite Zeile\n"
    )
    assert as_srt(cues) == (
        "1\n00:00:01,000 --> 00:00:02,500\nGuten Tag\n\n"
        "2\n01:01:01,001 --> 01:01:02,000\n你好\nzweite Zeile\n"
    )


@pytest.mark.parametrize("times", [(None, 2), (1, None), (-1, 2), (3, 2), (1, 1e12)])
def test_a_line_without_a_place_in_time_is_left_out(times):
    assert as_webvtt([a_cue(*times), a_cue(4, 5)]) == as_webvtt([a_cue(4, 5)])


def test_what_looks_like_markup_stays_text():
    written = as_webvtt([a_cue(1, 2, "a < b && c <i>x</i>")])
    assert "a &lt; b &amp;&amp; c &lt;i>x&lt;/i>" in written


@given(st.lists(st.text(), max_size=8))
def test_no_text_breaks_a_file(texts):
    cues = [a_cue(number, number + 0.5, text) for number, text in enumerate(texts)]
    for read, written in (
        (webvtt.WebVTT.from_string, as_webvtt(cues)),
        (lambda text: webvtt.from_buffer(io.StringIO(text), format="srt"), as_srt(cues)),
    ):
        # A line without a word may be left out by whoever reads it.
        said = {number for number, text in enumerate(texts) if any(map(str.isalnum, text))}
        starts = {caption.start_in_seconds for caption in read(written)} if said else set()
        assert said <= starts <= set(range(len(texts)))
