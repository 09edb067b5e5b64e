"""Writes golden_tokenizer.json: texts with the ids that the tokenizers in Python and in JavaScript must give.

Call `PYTHONPATH=code python tests/export/web/write_golden.py` after changing what stands here.
"""

import itertools
import json
import string
from pathlib import Path
from typing import Any

from power_bert.text.tokenizer import WordPieceTokenizer
from power_bert.text.wordpiece_vocabulary import Vocabulary
from power_bert_runtime.tokenizer_settings import AddedToken, TokenizerSettings

WORDS = (
    *("the", "cat", "sat", "un", "##aff", "##able", "##ing", "cafe", "caf\u00e9", "Caf\u00e9", "The", "Cat"),
    *("\u4e2d", "\u56fd", "\u65e5", "##\u672c", "\U00020000", "\U0002f800", "\u4e3d", "\u3053", "##\u3093", "\u1112"),
    *("##\u1161", "##\u11ab", "\ud55c", "##\uae00", "\u03c3", "##\u03c3", "##\u03c2", "\u03bf", "##\u03b4", "##\u03bf"),
    *("##\u0394", "\u039f", "##\u039f", "##\u03a3", "\u043f", "##\u0440", "##\u0438", "\u00df", "##\u00df", "\u00e9"),
    *("##\u00e9", "##\u0301", "\U0001f600", "##\U0001f600", "\u2764", "##\ufe0f", "\U0001f44d", "##\U0001f3fd"),
    *("\U0001f468", "##\U0001f469", "\u00a3", "\u20ac", "\u201c", "\u2026", "\u0e01", "##\u0e33", "\u0627", "##\u0644"),
)
VOCABULARY = (
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *(string.ascii_letters + string.digits + string.punctuation),
    *(f"##{character}" for character in string.ascii_letters + string.digits),
    *WORDS,
    *("caf\u00e9s", "\u4e2d\u56fd", "##\u56fd", "##\u65e5", "<pad>", "<unk>", "<s>", "</s>", "<mask>"),
    *("[unused 1]", "<url>", "[E1]", "[E10]", "Aff"),
)
USUAL = (TokenizerSettings(lowercase=True), TokenizerSettings(lowercase=False))
UNUSUAL = (
    *(
        TokenizerSettings(lowercase, strip_accents=strip, tokenize_chinese_chars=cjk)
        for lowercase, strip, cjk in itertools.product((True, False), (None, True, False), (True, False))
        if (strip, cjk) not in ((None, True), (lowercase, True))
    ),
    TokenizerSettings(True, (AddedToken("<url>"), AddedToken("[E1]"), AddedToken("[E10]"), AddedToken("un"))),
    TokenizerSettings(False, (AddedToken("<url>", True), AddedToken("Aff", True), AddedToken("un", True))),
    TokenizerSettings(True, (AddedToken("<url>", True), AddedToken("[MASK]", True), AddedToken("Aff", True))),
    TokenizerSettings(True, (), None, True, "<pad>", "<unk>", "<s>", "</s>", "<mask>"),
)
LONG_WORD = "a" * 100
# what is tried -> first text, second text of a pair (None: a sentence), maximum length
TEXTS: dict[str, tuple[str, str | None, int]] = {
    "empty": ("", None, 16),
    "white space only": (" \t\n\r ", None, 16),
    "a sentence": ("The cat sat.", None, 16),
    "mixed case": ("tHE CaT Sat THE", None, 32),
    "word pieces": ("unaffable cats sitting", None, 32),
    "accents, composed": ("Caf\u00e9 caf\u00e9 \u00c9\u00e9", None, 32),
    "accents, decomposed": ("Cafe\u0301 cafe\u0301 E\u0301", None, 32),
    "a combining mark alone": ("\u0301 a \u0301b", None, 32),
    "sharp s, dotted I, ligature": ("\u00df \u1e9e Stra\u00dfe \u0130 \u0131 \ufb01", None, 32),
    "sigma at the end of a word": (
        "\u039f\u0394\u039f\u03a3 \u03bf\u03b4\u03bf\u03c2 \u03a3 \u039f\u03a3. A\u03a3",
        None,
        48,
    ),
    "Cyrillic": ("\u041f\u0440\u0438 \u043f\u0440\u0438 \u0439", None, 32),
    "Chinese": ("\u4e2d\u56fd\u65e5\u672ccat\u4e2d", None, 32),
    "ideographs of the extensions": ("\U00020000\U00020001a\U0002f800\U0002b820\U0002b920x", None, 32),
    "compatibility ideographs": ("\uf900\ufa0e\uf9ff", None, 32),
    "Japanese": ("\u3053\u3093\u306b\u3061\u306f\u3001\u65e5\u672c\u3002", None, 32),
    "Korean": ("\ud55c\uae00 \u1112\u1161\u11ab", None, 32),
    "Thai and Arabic": ("\u0e01\u0e33 \u0627\u0644\u060c \u0627\u064e\u0644", None, 32),
    "emoji": ("\U0001f600\U0001f600 cat\U0001f600", None, 32),
    "emoji with selectors and joiners": (
        "\u2764\ufe0f \U0001f44d\U0001f3fd \U0001f468\u200d\U0001f469 \U0001f1e9\U0001f1ea",
        None,
        32,
    ),
    "a word of 100 characters": (LONG_WORD, None, 128),
    "a word of 101 characters": (LONG_WORD + "a cat", None, 128),
    "100 characters outside the BMP": ("\U0001f600" * 100, None, 128),
    "101 characters outside the BMP": ("\U0001f600" * 101 + " cat", None, 128),
    "control characters": ("a\u0000b \u0001cat\u007f s\u0085at \ufffd a\u001fb", None, 32),
    "format characters": ("c\u00adat c\u200bat \ufeffcat c\u200eat c\u2060at", None, 32),
    "private use and noncharacters": ("c\ue000at c\U000f0000at c\uffffat c\U0010ffffat", None, 32),
    "tabs and line ends": ("the\tcat\nsat\r\nthe\rcat\u000bsat\u000cthe", None, 32),
    "Unicode spaces": ("the\u00a0cat\u2003sat\u3000the\u2028cat\u2029sat\u202fthe\u1680cat\u180esat", None, 32),
    "ASCII punctuation": (string.punctuation, None, 64),
    "other punctuation": ("\u201ccat\u201d\u2026 \u2014 \u00bfcat? \u00abcat\u00bb cat\u2019s \u00b7 \u3001", None, 48),
    "symbols": ("\u00a35 \u20ac5 5\u00b0 \u00a9 \u2122 \u2192 \u00d7", None, 48),
    "numbers": ("1,000.50 3\u00bd \u0663 \u2167 x\u00b2", None, 48),
    "apostrophes and hyphens": ("cat's un-affable the--cat", None, 32),
    "special tokens written out": ("the [MASK] sat[SEP]cat [PAD][CLS] [UNK]", None, 32),
    "nearly special tokens": ("[mask] [ MASK ] [MASK [[MASK]] [Sep]", None, 48),
    "names of object properties": ("constructor toString __proto__ hasOwnProperty", None, 64),
    "unknown words": ("\u2603 \u0915\u094d\u0937 \U00010348", None, 32),
    "cut": ("the cat sat the cat sat the cat sat", None, 8),
    "cut in the middle of a word": ("unaffable unaffable", None, 6),
    "shortest maximum length": ("the cat", None, 3),
    "exactly as long as allowed": ("the cat sat", None, 5),
    "pair": ("The cat sat.", "Caf\u00e9s!", 32),
    "pair, first empty": ("", "the cat", 16),
    "pair, second empty": ("the cat", "", 16),
    "pair, both empty": ("", "", 16),
    "pair, first cut": ("the cat sat the cat sat the cat", "the cat", 10),
    "pair, second cut": ("the cat", "the cat sat the cat sat the cat", 10),
    "pair, both cut, even budget": ("the cat sat the cat sat", "sat cat the sat cat the sat", 11),
    "pair, both cut, odd budget, first longer": ("the cat sat the cat sat the", "sat cat the sat cat", 10),
    "pair, both cut, odd budget, second longer": ("the cat sat the cat", "sat cat the sat cat the sat", 10),
    "pair, both cut, odd budget, equally long": ("the cat sat the cat sat", "sat cat the sat cat the", 10),
    "pair, shortest maximum length": ("the cat sat", "sat cat the", 5),
    "pair with special tokens": ("the [SEP] cat", "[CLS] sat [MASK]", 16),
    "other special and added tokens": (
        "<s>the<mask> sat</s> [E1]cat[E10] x[E1]0 <URL>the<url> unAff unaffable SAT [mask]",
        "\u4e2d\u56fd [E1]",
        64,
    ),
}


def golden(texts: dict[str, tuple[str, str | None, int]]) -> dict[str, object]:
    """The file's content: vocabulary and, for each text, the ids: uncased, cased, and where other settings differ."""
    cases = [case for settings in USUAL for case in _cases(settings, texts)]
    plain = {settings.lowercase: _cases(settings, texts) for settings in USUAL}
    for settings in UNUSUAL:
        for case, usual in zip(_cases(settings, texts), plain[settings.lowercase], strict=True):
            if case["token_ids"] != usual["token_ids"]:
                cases.append(case)
    return {"vocabulary": VOCABULARY, "cases": cases}


def _cases(settings: TokenizerSettings, texts: dict[str, tuple[str, str | None, int]]) -> list[dict[str, Any]]:
    tokenizer = WordPieceTokenizer(Vocabulary(VOCABULARY, settings))
    shown = {"lowercase": settings.lowercase, **settings.unusual}
    cases = []
    for what, (first, second, max_length) in texts.items():
        encoded = tokenizer.encode([first], None if second is None else [second], max_length)
        case: dict[str, Any] = {"what": what, "settings": shown, "first": first, "second": second}
        case |= {"max_length": max_length, "token_ids": encoded.token_ids[0].tolist()}
        cases.append(case | {"segment_ids": encoded.segment_ids[0].tolist()})
    return cases


def to_json(content: dict[str, object]) -> str:
    """JSON with one case a line."""
    cases = ",\n".join(json.dumps(case) for case in content["cases"])  # type: ignore[attr-defined]
    return f'{{"vocabulary": {json.dumps(content["vocabulary"])},\n"cases": [\n{cases}\n]}}\n'


if __name__ == "__main__":
    Path(__file__).with_name("golden_tokenizer.json").write_text(to_json(golden(TEXTS)), encoding="utf-8")
