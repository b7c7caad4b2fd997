"""Subtitle files from the subtitles of a transcript, whatever their content."""

from __future__ import annotations

import io

import pysubs2
import pytest
import webvtt
from hypothesis import example, given
from hypothesis import strategies as st

from etl.extract.result import Subtitle
from etl.load.subtitle_formats import as_srt, as_webvtt, has_subtitles, srt_of_webvtt


def a_subtitle(start: float | None, end: float | None, text: str | None = "words") -> Subtitle:
    return Subtitle(start_seconds=start, end_seconds=end, text=text)


def test_webvtt_and_srt_have_the_same_content():
    subtitles = [a_subtitle(1, 2.5, "Guten Tag"), a_subtitle(3661.001, 3662, "你好\nzweite Zeile")]
    assert as_webvtt(subtitles) == (
        "WEBVTT\n\n00:00:01.000 --> 00:00:02.500\nGuten Tag\n\n"
        "01:01:01.001 --> 01:01:02.000\n你好\nzweite Zeile\n"
    )
    assert as_srt(subtitles) == (
        "1\n00:00:01,000 --> 00:00:02,500\nGuten Tag\n\n"
        "2\n01:01:01,001 --> 01:01:02,000\n你好\nzweite Zeile\n"
    )


@pytest.mark.parametrize("times", [(None, 2), (1, None), (-1, 2), (3, 2), (1, 1e12)])
def test_subtitles_without_valid_times_are_omitted(times):
    assert as_webvtt([a_subtitle(*times), a_subtitle(4, 5)]) == as_webvtt([a_subtitle(4, 5)])


def test_webvtt_escapes_markup():
    written = as_webvtt([a_subtitle(1, 2, "a < b && c <i>x</i>")])
    assert "a &lt; b &amp;&amp; c &lt;i>x&lt;/i>" in written


def shown(srt: str) -> list[tuple[int, int, str]]:
    """Return what a player shows: SubRip as read by another parser."""
    read = pysubs2.SSAFile.from_string(srt, format_="srt", keep_html_tags=True)
    return [(event.start, event.end, event.text.replace("\\N", "\n")) for event in read]


TEXTS = {
    'AT&T & R&B <3 "Q&A"': 'AT&T & R&B <3 "Q&A"',
    "&amp; is said so": "&amp; is said so",
    "<i>not mine</i> &lt;b&gt;": "<i>not mine</i> &lt;b&gt;",
    "left --> right ---> and -->": "left -> right -> and ->",
    "00:00:09,000 --> later": "00:00:09,000 -> later",
    "one\r\n\r\ntwo\n \nthree\u2028four": "one\ntwo\nthree\nfour",
    "7": "7",
    "7\n8": "7\n8",
    "  \tspaces  ": "spaces",
    "nul\0": "nul\ufffd",
}


@pytest.mark.parametrize("text", TEXTS)
def test_srt_text_is_displayed_literally(text):
    written = as_srt([a_subtitle(0, 1, "before"), a_subtitle(1, 2, text), a_subtitle(2, 3, "behind")])
    assert shown(written) == [(0, 1000, "before"), (1000, 2000, TEXTS[text]), (2000, 3000, "behind")]
    assert [line for line in written.split("\n") if "-->" in line] == [
        f"00:00:0{second},000 --> 00:00:0{second + 1},000" for second in range(3)
    ]


def test_srt_omits_empty_subtitles_and_renumbers():
    silent = [a_subtitle(0, 1, text) for text in (None, "", " \n\t")]
    assert as_srt(silent) == as_srt([]) == ""
    written = as_srt([*silent, a_subtitle(1, 2, "a"), a_subtitle(None, 3, "b"), a_subtitle(3, 4, "c")])
    assert written == "1\n00:00:01,000 --> 00:00:02,000\na\n\n2\n00:00:03,000 --> 00:00:04,000\nc\n"


def test_subtitles_are_sorted_by_start_and_may_overlap():
    subtitles = [
        a_subtitle(5, 6, "last"),
        a_subtitle(1, 9, "long"),
        a_subtitle(2, 2, "no time"),
        a_subtitle(1, 3, "second"),
    ]
    starts = [(1000, 9000, "long"), (1000, 3000, "second"), (2000, 2000, "no time"), (5000, 6000, "last")]
    assert shown(as_srt(subtitles)) == starts
    assert [caption.text for caption in webvtt.WebVTT.from_string(as_webvtt(subtitles))] == [
        text for _, _, text in starts
    ]


def test_hours_may_exceed_two_digits():
    assert "\n123:00:00,000 --> 123:00:01,500\n" in as_srt([a_subtitle(442_800, 442_801.5)])
    assert "\n123:00:00.000 --> 123:00:01.500\n" in as_webvtt([a_subtitle(442_800, 442_801.5)])


def test_webvtt_to_srt_removes_escapes_and_tags():
    given = [a_subtitle(1, 2, "AT&T <3 -->"), a_subtitle(3, 4, "two\nlines")]
    assert srt_of_webvtt(as_webvtt(given)) == as_srt(given)
    marked = "WEBVTT\n\nid\n00:01.000 --> 00:02.000 align:start\n<v Bob>Hi, <b>you</b>&nbsp;&amp;\n"
    assert shown(srt_of_webvtt(marked)) == [(1000, 2000, "Hi, you\u00a0&")]
    for nothing in ("", "WEBVTT", "WEBVTT\n\n", "no WebVTT"):
        assert srt_of_webvtt(nothing) == ""


def test_file_without_subtitles_is_detected():
    assert has_subtitles(as_webvtt([a_subtitle(1, 2)]))
    for nothing in (None, "", "WEBVTT", as_webvtt([]), as_webvtt([a_subtitle(None, None)])):
        assert not has_subtitles(nothing)


@given(st.lists(st.text(), max_size=8))
@example(["-->", "a\n\n--->\n\n7"])
def test_files_are_valid_for_any_text(texts):
    subtitles = [a_subtitle(number, number + 0.5, text) for number, text in enumerate(texts)]
    for read, written in (
        (webvtt.WebVTT.from_string, as_webvtt(subtitles)),
        (lambda text: webvtt.from_buffer(io.StringIO(text), format="srt"), as_srt(subtitles)),
    ):
        # A parser may drop a subtitle that contains no word.
        said = {number for number, text in enumerate(texts) if any(map(str.isalnum, text))}
        starts = {caption.start_in_seconds for caption in read(written)} if said else set()
        assert said <= starts <= set(range(len(texts)))
