#!/usr/bin/env python3
"""Writes tests/golden/text_components.json: what single normalizers, pre-tokenizers and decoders of the
tokenizers library make of short texts, for every kind and option that we read.

    generate_text_components.py
"""

import json
import random
from pathlib import Path

import tokenizers
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

TEXTS = [
    "a", " ", "  ", "Hello, world!", " lead and trail ", "it's 12345 o'clock, IT'LL do", "x  y   z\n\n  w\t\r\n", "a-b--c---d", "!?.,;",
    "caf\u00e9 cafe\u0301 \u00c5 A\u030a \ufb01 \u1e9b\u0323", "a\u0327\u0301\u0301\u0327b \u0344 \u1100\u1161\u11a8 \uac01 \ufdfa", "\u4f60\u597d\uff0c\u4e16\u754c\uff01 \u3053\u3093\u306b\u3061\u306f \uc548\ub155",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea", "\u0661\u0662 \u00bd \u00b2 \u2167 \u0967", "\u0130stanbul \u00df \u01c5 \u03a3\u03c3\u03c2", "a\u00a0b\u3000c\u0085d\u2028e\u180ef\u200bg",
    "snake_case \u203f CamelCaseHTTP", "\u2581a \u2581\u2581 b\u2581", "\u24d0\u24b6 \u0e44\u0e17\u0e22 \u0928\u092e\u0938\u094d\u0924\u0947", "\x00\x01\x7f\ufdd0\uffff", "eel e", "don't\u2019s 'S '\u017f",
]  # fmt: skip
QWEN2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CASED = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
BEHAVIORS = ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous")


def all_normalizers():
    n = normalizers
    yield from (n.NFC(), n.NFD(), n.NFKC(), n.NFKD(), n.Lowercase(), n.StripAccents(), n.ByteLevel(), n.Prepend("\u2581"))
    yield from (n.Strip(), n.Strip(True, False), n.Strip(False, True), n.Replace(" ", "\u2581"), n.Replace("--", ""), n.Replace(Regex(r"\s+"), "_"))
    yield n.Sequence([n.NFD(), n.StripAccents(), n.Lowercase(), n.Strip()])
    yield n.Sequence([n.Prepend("\u2581"), n.Replace(" ", "\u2581")])


def all_pre_tokenizers():
    p = pre_tokenizers
    for prefix in (True, False):
        yield from (p.ByteLevel(add_prefix_space=prefix, use_regex=True), p.ByteLevel(add_prefix_space=prefix, use_regex=False))
    for behavior in BEHAVIORS:
        for invert in (False, True):
            yield p.Split(Regex(r"\p{N}|\s|(?=[A-Z])|-+"), behavior, invert)
        yield from (p.Split("-", behavior), p.Punctuation(behavior))
    for scheme in ("first", "always", "never"):
        yield from (p.Metaspace("\u2581", scheme, True), p.Metaspace("\u2581", scheme, False))
    yield from (p.Whitespace(), p.WhitespaceSplit(), p.BertPreTokenizer(), p.Digits(True), p.Digits(False), p.CharDelimiterSplit("e"))
    yield from (p.Split(Regex(QWEN2), "isolated"), p.Split(Regex(CASED), "isolated"), p.Split(Regex(r"\w+|\h|[\w-]+|."), "isolated"))
    yield p.Sequence([p.Split(Regex(r"\p{N}{1,3}"), "isolated"), p.Split(Regex("[\u4e00-\u9fa5\u3040-\u309f]+"), "isolated"), p.ByteLevel(False, use_regex=True)])
    yield p.Sequence([p.Digits(True), p.Punctuation("merged_with_next"), p.Metaspace("\u2581", "first", True)])


def all_decoders():
    d = decoders
    yield from (d.ByteLevel(), d.ByteFallback(), d.Fuse(), d.BPEDecoder("</w>"), d.Replace("\u2581", " "), d.Replace(Regex("[ab]+"), "-"), None)
    yield from (d.Strip(" ", 1, 0), d.Metaspace("\u2581", "always"), d.Metaspace("\u2581", "never"), d.Metaspace("\u2581", "first"))
    yield d.Sequence([d.Replace("\u2581", " "), d.ByteFallback(), d.Fuse(), d.Strip(" ", 1, 0)])
    yield d.Sequence([d.Fuse(), d.Strip("a", 2, 2)])
    yield d.Sequence([d.ByteFallback(), d.Metaspace("\u2581", "always"), d.Fuse()])


def token_lists(rng):
    pieces = ["\u2581Hello", "\u2581", "\u2581\u2581", "world", "<0xE4>", "<0xBD>", "<0xA0>", "<0x41>", "<0xFF>", "<0x0a>", "<0xZZ>", " ", "  x ", "aab", "ba</w>", "</w>"]
    pieces += ["\u0120caf", "\u00c3", "\u00a9", "\u00f0\u0141\u013a", "\u0122", "\u4f60", "\u010a", "z"]
    for _ in range(40):
        yield [rng.choice(pieces) for _ in range(rng.randint(1, 7))]


def config_of(**part):
    tokenizer = Tokenizer(models.BPE())
    for name, value in part.items():
        if value is not None:
            setattr(tokenizer, name, value)
    return json.loads(tokenizer.to_str())[next(iter(part))]


def main():
    rng = random.Random(5)
    groups = {"normalizer": [], "pre_tokenizer": [], "decoder": []}
    for n in all_normalizers():
        groups["normalizer"].append({"config": config_of(normalizer=n), "cases": [[t, n.normalize_str(t)] for t in TEXTS]})
    for p in all_pre_tokenizers():
        groups["pre_tokenizer"].append({"config": config_of(pre_tokenizer=p), "cases": [[t, [piece for piece, _ in p.pre_tokenize_str(t)]] for t in TEXTS]})
    for d in all_decoders():
        cases = [[ts, d.decode(ts) if d else " ".join(ts)] for ts in token_lists(rng)]
        groups["decoder"].append({"config": config_of(decoder=d), "cases": cases})
    lines = [f'"tokenizers": {json.dumps(tokenizers.__version__)}']
    for name, group in groups.items():
        lines.append(f'"{name}": [\n' + ",\n".join(json.dumps(g, separators=(",", ":")) for g in group) + "\n]")
    out = Path(__file__).resolve().parent / "text_components.json"
    out.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print({name: (len(g), sum(len(x["cases"]) for x in g)) for name, g in groups.items()})


if __name__ == "__main__":
    main()
