"""Texts that costs are measured on."""

import numpy as np

from hedgespec.costs.examples import example_texts


def test_texts_are_parts_of_answers_and_what_comes_back_stays():
    texts = example_texts(5, 300, 1 << 20)
    assert texts.shape == (5, 300)
    assert len({tuple(text) for text in texts}) == 5
    assert all(len(np.unique(text)) < 250 for text in texts), "words come back"
    few = example_texts(5, 300, 50)
    assert (few == texts % 50).all()
    long = example_texts(1, 10**6, 1 << 20)[0]  # longer than the trace: it begins again
    assert len(long) == 10**6
    assert (long[:300] == texts[0]).all()
