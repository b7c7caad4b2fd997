"""A transcript of any length is split into overlapping parts, without all its tokens in memory."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from etl.load import transcript_index
from etl.load.tokenizer import tokenize
from etl.load.transcript_index import MAX_PIECE_LENGTH, MAX_TOKENS, OVERLAP

TEXTS = st.text(alphabet=st.sampled_from("ab ä字仮 \n\u3000\u0301\u200d."), max_size=60)


def expected(lines, most, overlap):
    words = [(word, position) for position, text in lines for word in tokenize(text)]
    for start in range(0, max(1, len(words) - overlap), most - overlap):
        if part := words[start : start + most]:
            yield part[0][1], [word for word, _ in part]


@given(st.lists(TEXTS, max_size=12), st.integers(2, 9), st.integers(1, 20))
def test_parts_match_splitting_all_tokens_at_once(texts, most, piece):
    lines = list(enumerate(texts))
    patched = {"MAX_TOKENS": most, "OVERLAP": 1, "MAX_PIECE_LENGTH": piece}
    before = {name: getattr(transcript_index, name) for name in patched}
    try:
        vars(transcript_index).update(patched)
        assert list(transcript_index.iter_parts(lines)) == list(expected(lines, most, 1))
    finally:
        vars(transcript_index).update(before)


def test_long_text_is_tokenized_in_bounded_memory():
    text = " ".join(f"{number * 7919 % 100_003:05}" for number in range(200_000))
    assert len(text) > 10 * MAX_PIECE_LENGTH
    tracemalloc.start()
    count = sum(1 for _ in transcript_index.iter_parts([(None, text)]))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == -(-(200_000 - OVERLAP) // (MAX_TOKENS - OVERLAP))
    assert peak < 4 * len(text)
