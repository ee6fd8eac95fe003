#!/usr/bin/env python3
"""Writes tests/golden/tokenizers: small tokenizer.json files of the families we read, and what Hugging
Face's tokenizers library makes with them of the strings in tokenizer_strings.py.

    generate_tokenizers.py [--train] [NAME...]

--train makes the tokenizer.json files anew (from corpus.py and Debian's /usr/share/common-licenses); without
it the committed ones are asked again.
"""

import argparse
import json
import random
from pathlib import Path

import tokenizers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from corpus import CODE, SENTENCES
from tokenizer_strings import invalid_utf8, strings

ROOT = Path(__file__).resolve().parent / "tokenizers"
CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
PATTERN = CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2_PATTERN = PATTERN % r"\p{N}"
LLAMA3_PATTERN = PATTERN % r"\p{N}{1,3}"
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}


def corpus_text():
    licenses = [Path("/usr/share/common-licenses") / n for n in ("GPL-3", "Apache-2.0", "CC0-1.0")]
    return SENTENCES * 4 + CODE * 4 + [p.read_text() for p in licenses]


def split(pattern):
    return {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
            BYTE_LEVEL,
        ],
    }


def added(first_id, specs):
    """specs: content, or (content, flags that differ from the defaults)."""
    tokens = []
    for i, spec in enumerate(specs):
        content, flags = spec if isinstance(spec, tuple) else (spec, {})
        token = {"id": first_id + i, "content": content, "single_word": False, "lstrip": False}
        token |= {"rstrip": False, "normalized": False, "special": True, **flags}
        tokens.append(token)
    return tokens


def train_byte_level(pattern, vocab_size):
    """-> vocab (token -> id), merges (pairs)."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    tokenizer.train_from_iterator(corpus_text(), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in model["merges"]]


def bpe(vocab, merges, pairs, **flags):
    model = {"type": "BPE", "dropout": None, "unk_token": None}
    model |= {"continuing_subword_prefix": None, "end_of_word_suffix": None}
    model |= {"fuse_unk": False, "byte_fallback": False, **flags}
    return model | {"vocab": vocab, "merges": [list(m) if pairs else " ".join(m) for m in merges]}


def document(model, **parts):
    order = ("added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder")
    head = {"version": "1.0", "truncation": None, "padding": None}
    return head | {k: parts.get(k) for k in order} | {"model": model}


def bos_template(bos, bos_id):
    special = {"SpecialToken": {"id": bos, "type_id": 0}}
    return {
        "type": "TemplateProcessing",
        "single": [special, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [special, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": bos, "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {bos: {"id": bos, "ids": [bos_id], "tokens": [bos]}},
    }


def make_qwen2():
    """Merges as strings; ids of the added tokens right after the vocabulary."""
    vocab, merges = train_byte_level(QWEN2_PATTERN, 2000)
    plain = {"special": False}
    tokens = added(len(vocab), ["<|endoftext|>", "<|im_start|>", "<|im_end|>", ("<tool_call>", plain), ("</tool_call>", plain)])
    model = bpe(vocab, merges, False, continuing_subword_prefix="", end_of_word_suffix="")
    parts = dict(added_tokens=tokens, normalizer={"type": "NFC"}, pre_tokenizer=split(QWEN2_PATTERN), post_processor=BYTE_LEVEL, decoder=BYTE_LEVEL)
    config = {"bos_token": None, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "tokenizer_class": "Qwen2Tokenizer"}
    return document(model, **parts), {**config, "add_prefix_space": False, "model_max_length": 32768}


def make_llama3():
    """ignore_merges, with vocabulary entries no merge leads to; merges as pairs."""
    vocab, merges = train_byte_level(LLAMA3_PATTERN, 2100)
    for word in ("\u0120coordinator", "unreachable", "\u0120cr\u00c3\u00aape", "2024", "789", "\u0120\u0120\u0120\u0120\u0120\u0120\u0120"):
        vocab.setdefault(word, len(vocab))
    names = ["begin_of_text", "end_of_text", "reserved_special_token_0", "reserved_special_token_1", "finetune_right_pad_id", "reserved_special_token_2", "start_header_id", "end_header_id", "eom_id", "eot_id", "python_tag"]
    names += [f"reserved_special_token_{i}" for i in range(3, 10)]
    tokens = added(len(vocab), [f"<|{n}|>" for n in names])
    processor = {"type": "Sequence", "processors": [{**BYTE_LEVEL, "add_prefix_space": True, "use_regex": True}, bos_template("<|begin_of_text|>", len(vocab))]}
    decoder = {**BYTE_LEVEL, "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    parts = dict(added_tokens=tokens, pre_tokenizer=split(LLAMA3_PATTERN), post_processor=processor, decoder=decoder)
    config = {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>", "tokenizer_class": "PreTrainedTokenizerFast"}
    return document(bpe(vocab, merges, True, ignore_merges=True), **parts), {**config, "model_max_length": 131072}


def make_llama2():
    """SentencePiece BPE as converted for Llama 2: no pre-tokenizer, bytes for what the vocabulary lacks."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always")
    rare = 700
    trainer = trainers.BpeTrainer(vocab_size=1600, limit_alphabet=rare, show_progress=False)
    # A share of the sentences only, so that many characters have no piece and fall back to bytes.
    trained.train_from_iterator([t for i, t in enumerate(corpus_text()) if i % 3 or len(t) > 5000], trainer)
    model = json.loads(trained.to_str())["model"]
    merges = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in model["merges"]]
    runs = [("\u2581" * n, "\u2581" * n) for n in (1, 2, 4, 8)] + [("\u2581\u2581", "\u2581"), ("\u2581\u2581", "t")]
    pieces = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    merges = runs[:3] + merges + runs[3:]
    pieces += ["".join(m) for m in merges] + sorted(model["vocab"])
    vocab = {p: i for i, p in enumerate(dict.fromkeys(pieces))}
    tokens = added(0, ["<unk>", "<s>", "</s>"])
    space = {"Replace": {"pattern": {"String": " "}, "content": "\u2581"}}
    normalizer = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}, {"type": "Replace", **space["Replace"]}]}
    decoder = {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
    flags = dict(unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    parts = dict(added_tokens=tokens, normalizer=normalizer, post_processor=bos_template("<s>", 1), decoder=decoder)
    config = {"add_bos_token": True, "add_eos_token": False, "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "tokenizer_class": "LlamaTokenizer"}
    return document(bpe(vocab, merges, False, **flags), **parts), {**config, "legacy": False, "model_max_length": 4096}


def make_added_tokens():
    """A small Qwen2-like tokenizer whose added tokens have every flag."""
    vocab, merges = train_byte_level(QWEN2_PATTERN, 500)
    plain = {"special": False}
    tokens = added(
        len(vocab),
        [
            "<|end|>",
            ("<left>", {"lstrip": True}),
            ("<right>", {"rstrip": True}),
            ("<both>", {"lstrip": True, "rstrip": True}),
            ("cat", {"single_word": True, **plain}),
            ("<word>", {"single_word": True}),
            ("<a>", plain),
            ("<a><b>", plain),
            ("<b>", plain),
            ("caf\u00e9!", {"normalized": True, **plain}),
            ("e\u0301?", {"normalized": False, **plain}),
            ("two words", {"normalized": True, **plain}),
            ("\n\n\n", {"normalized": True, **plain}),
            ("\u4e2d\u6587", {"normalized": True, "lstrip": True, **plain}),
            ("  ", {"normalized": False, **plain}),
        ],
    )
    parts = dict(added_tokens=tokens, normalizer={"type": "NFC"}, pre_tokenizer=split(QWEN2_PATTERN), decoder=BYTE_LEVEL)
    config = {"bos_token": None, "eos_token": "<|end|>", "tokenizer_class": "PreTrainedTokenizerFast"}
    return document(bpe(vocab, merges, True), **parts), config


MAKERS = {"qwen2": make_qwen2, "llama3": make_llama3, "llama2": make_llama2, "added-tokens": make_added_tokens}

ADDED_TOKEN_STRINGS = [
    "cat", "a cat sat", "cats", "concat", "cat.", "cat_", "cat1", "(cat)", "Cat", "cat cat", "\u00e9cat", "cat\u0301", "\u4e2dcat\u6587",
    "<word>", "a<word>b", "a <word> b", "1<word>", "_<word>_", ".<word>.",
    "a <left> b", "a   <left>b", "a\n\t <left>\n b", "<left> <left>", "a<left>b", "a\u00a0\u3000<left> b", "  <left>",
    "a <right> b", "a<right>   b", "a<right>\n\t b", "<right> <right>", "a<right>b", "<right>\u00a0\u3000x", "<right>  ",
    "a <both> b", "a \n<both>\n b", "<both>  <both>", "  <both>  ", "<right> <left>", "<right>   <left>", "<left>  <right>",
    "<a><b>", "<a> <b>", "<a><a><b><b>", "<a", "a>", "<a><", "<<a>>",
    "caf\u00e9!", "cafe\u0301!", "un cafe\u0301! deux", "Caf\u00e9!", "caf\u00e9 !", "e\u0301?", "\u00e9?", "ee\u0301??", "cafe\u0301?",
    "two words", "two  words", "two\u00a0words", "intwo wordsout", "\n\n", "\n\n\n", "\n\n\n\n\n\n\n", "a\n\n\n b",
    "\u4e2d\u6587", "a \u4e2d\u6587", "a  \u4e2d\u6587 b", "  ", "   ", "a  b", "a   b    c", "   cat  ", "<|end|>", "x<|end|>y", "<|end|><|end|>", "<|END|>",
]  # fmt: skip


def texts_with_specials(names, rng, count):
    """Text around, inside and across the added tokens, complete and cut."""
    fragments = ["", " ", "\n", "Hello", " world", "e\u0301", "\u4e2d\u6587", "123", "\U0001f600", "  ", "'s", "\r\n", "\u2581", "<|", "|>", "<0x41>"]
    for name in names:
        yield from (name, f"a{name}b", f" {name} ", f"{name}{name}", f"\n{name}\n", name[:-1], name[1:], name.upper(), f"{name[:3]} {name[3:]}", f"user{name}\nhi")
    for _ in range(count):
        yield "".join(rng.choice(names if rng.random() < 0.4 else fragments) for _ in range(rng.randint(2, 9)))


def own_strings(name, tokenizer, rng):
    names = [t.content for t in tokenizer.get_added_tokens_decoder().values()]
    found = list(texts_with_specials(names[:8], rng, 60))
    found += ADDED_TOKEN_STRINGS if name == "added-tokens" else []
    return list(dict.fromkeys(found))


def random_ids(tokenizer, rng, count):
    """Id sequences no encoder would give: broken characters, specials anywhere, ids without a token."""
    size = tokenizer.get_vocab_size()
    known = sorted(tokenizer.get_vocab().values())
    single = known[:270]
    for i in range(count):
        pool = single if i % 3 == 0 else known
        ids = rng.choices(pool, k=rng.randint(1, 12))
        if i % 10 == 9:
            ids.insert(rng.randrange(len(ids) + 1), max(known) + 1 + rng.randrange(size))
        yield ids


def unless_equal(value, other):
    return None if value == other else value


def expected(name, tokenizer, shared):
    rng = random.Random(name)
    own = own_strings(name, tokenizer, rng)
    prefix = tokenizer.encode("", add_special_tokens=True).ids
    result = {
        "tokenizers": tokenizers.__version__,
        "special_prefix": prefix,
        "own_strings": own,
        "ids": [],
        "decoded": [],
        "decoded_skip_special": [],
    }
    for text in shared + own:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        if tokenizer.encode(text, add_special_tokens=True).ids != prefix + ids:
            raise SystemExit(f"{name}: special tokens are more than a prefix of {text!r}")
        decoded = tokenizer.decode(ids, skip_special_tokens=False)
        skipped = tokenizer.decode(ids, skip_special_tokens=True)
        result["ids"].append(ids)
        result["decoded"].append(unless_equal(decoded, text))
        result["decoded_skip_special"].append(unless_equal(skipped, decoded))
    result["invalid_utf8"] = [
        [data.hex(), tokenizer.encode(data.decode("utf-8", errors="replace"), add_special_tokens=False).ids]
        for data in invalid_utf8()
    ]
    result["random_ids"] = [
        [ids, tokenizer.decode(ids, skip_special_tokens=False), tokenizer.decode(ids, skip_special_tokens=True)]
        for ids in random_ids(tokenizer, rng, 200)
    ]
    return result


def write_lines(path, data):
    """One key a line, compact: diffs name what changed, files stay small."""
    lines = (f"{json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in data.items())
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", action="store_true")
    parser.add_argument("names", nargs="*", metavar="NAME")
    args = parser.parse_args()
    shared = strings()
    write_lines(ROOT / "strings.json", {"strings": shared})
    for name in args.names or MAKERS:
        directory = ROOT / name
        directory.mkdir(parents=True, exist_ok=True)
        if args.train:
            tokenizer_json, config = MAKERS[name]()
            (directory / "tokenizer.json").write_text(json.dumps(tokenizer_json, ensure_ascii=False, indent=0) + "\n")
            (directory / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
        tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        for token in json.loads((directory / "tokenizer.json").read_text())["added_tokens"]:
            if tokenizer.token_to_id(token["content"]) != token["id"]:
                raise SystemExit(f"{name}: the library gives {token['content']} another id")
        data = expected(name, tokenizer, shared)
        write_lines(directory / "expected.json", data)
        changed = sum(d is not None for d in data["decoded"])
        print(f"{name}: {len(data['ids'])} strings, {sum(map(len, data['ids']))} ids, {changed} not decoded to themselves, prefix {data['special_prefix']}")


if __name__ == "__main__":
    main()
