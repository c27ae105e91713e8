"""The core's WordPiece ids against Hugging Face's `tokenizers` over the same vocabulary."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from tradewind import core

HERE = Path(__file__).parent
VOCABULARY = HERE.parents[1] / "rust/core/src/features/vocab.txt"
FRAGMENTS: dict[str, list[str]] = json.loads((HERE / "fragments.json").read_text("utf-8"))
GAPS = [" ", " ", " ", ", ", ". ", "\n", "", "; ", " – ", "\u00a0", "\t", "? "]
STRAY = ["🙂", "👩\u200d🚀", "①", "\u0000", "\ufffd", "e\u0301", "\u200b", "ﬁ", "½", "한국어", "ไทย", "हिन्दी"]
STRAY += ["𝔘", "\ue000", "42"]
TEXTS_PER_LANGUAGE = 450
CAP, HALF = 512, 256


@pytest.fixture(scope="module")
def reference() -> Tokenizer:
    pieces = VOCABULARY.read_text("utf-8").split("\n")[:-1]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def expected(reference: Tokenizer, text: str) -> list[int]:
    ids: list[int] = reference.encode(text, add_special_tokens=False).ids
    if len(ids) > CAP:
        ids = ids[:HALF] + ids[-HALF:]
    return ids or [0]


def compose(fragments: list[str], rng: random.Random) -> str:
    """A text of one fragment or many, now and then in another case or with a stray character."""
    parts: list[str] = []
    for _ in range(rng.choice([1, 2, 3, 5, 8, 13, 40, 120])):
        fragment = rng.choice(fragments)
        parts.append(rng.choice([fragment, fragment, fragment, fragment.upper(), fragment.title()]))
        parts.append(rng.choice(STRAY) if rng.random() < 0.05 else rng.choice(GAPS))
    return "".join(parts)


@pytest.mark.parametrize("language", FRAGMENTS)
def test_ids_equal_those_of_tokenizers_in_every_language(language: str, reference: Tokenizer) -> None:
    rng = random.Random(f"parity/{language}")
    texts = [compose(FRAGMENTS[language], rng) for _ in range(TEXTS_PER_LANGUAGE)]
    different = [text for text in texts if core.tokenize(text) != expected(reference, text)]
    share = 1 - len(different) / len(texts)
    assert share >= 0.995, f"{share:.2%} of {language} agree; the first that does not: {different[0][:200]!r}"
    assert len(set(texts)) >= 400
    assert any(len(core.tokenize(text)) == CAP for text in texts), "some are long enough to be cut"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param(" \n\t\u00a0", id="spaces"),
        pytest.param("🙂👍🏽👩‍🚀🇪🇺 ok 🙂", id="emoji"),
        pytest.param("a\x00b \x00 c\x00", id="nul"),
        pytest.param("\ufffd\ufeffx\u202ey", id="removed characters"),
        pytest.param("\u0301\u0308", id="accents alone"),
        pytest.param("a" * 100 + " " + "b" * 101, id="words of 100 and 101 characters"),
        pytest.param("a" * (1 << 20), id="a word of a megabyte"),
        pytest.param("é" * (1 << 19) + " end", id="a wide word of a megabyte"),
        pytest.param("in " + "z" * (1 << 20) + " middle " * 400 + "end", id="a word of a megabyte in a text"),
        pytest.param("中" * 1000, id="ideographs without end"),
        pytest.param("." * 100_000, id="marks without end"),
        pytest.param("x\u0301" * 5000, id="combining marks without end"),
        pytest.param("שלום عالم hello", id="right to left"),
    ],
)
def test_texts_that_nobody_writes(text: str, reference: Tokenizer) -> None:
    assert core.tokenize(text) == expected(reference, text)


def test_each_character_of_the_basic_plane_is_read_alike(reference: Tokenizer) -> None:
    characters = [f"a{chr(code)}b {chr(code)}" for code in range(0x1_0000) if not 0xD800 <= code <= 0xDFFF]
    texts = [" ".join(characters[start : start + 64]) for start in range(0, len(characters), 64)]
    assert [text[:40] for text in texts if core.tokenize(text) != expected(reference, text)] == []
