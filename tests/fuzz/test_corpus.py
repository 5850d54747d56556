# SPDX-License-Identifier: BSD-2-Clause
"""The corpus of the fuzz targets is what fuzz_corpus.py says; `make check` has each target go through its own."""

import pytest

from fuzz_corpus import CORPUS, TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_is_what_the_seeds_say(target):
    files = {path.name: path.read_bytes() for path in (CORPUS / target).iterdir()}
    assert files == TARGETS[target], "tests/fuzz/fuzz_corpus.py writes it anew"
