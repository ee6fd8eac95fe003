#!/usr/bin/env python3
"""Writes tests/golden/chat_templates: expected.json (what transformers renders of chat_cases.py) and
ids.json (token ids of conversations, whatever special tokens their texts spell).

    generate_chat_templates.py
"""

import datetime
import json
from pathlib import Path

import jinja2
import tokenizers
import transformers
from transformers.utils import chat_template_utils

import chat_cases

ROOT = Path(__file__).resolve().parent
TEMPLATES = ROOT / "chat_templates"
NOW = datetime.datetime(2025, 3, 4, 9, 5, 7)
FIRST_MARK = 0xF1000


class FixedDatetime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


chat_template_utils.datetime = FixedDatetime


def render(source, variables):
    """As tokenizer.apply_chat_template(tokenize=False) does."""
    rest = {k: v for k, v in variables.items() if k not in ("messages", "tools", "add_generation_prompt")}
    (text,), _ = chat_template_utils.render_jinja_template(
        conversations=[variables.get("messages", [])],
        tools=variables.get("tools"),
        chat_template=source,
        add_generation_prompt=variables.get("add_generation_prompt", False),
        **rest,
    )
    return text


def case(name, source, variables):
    result = {"name": name, **source, "variables": variables}
    text = (TEMPLATES / source["file"]).read_text() if "file" in source else source["source"]
    try:
        return result | {"rendered": render(text, variables)}
    except jinja2.exceptions.TemplateError as error:
        # raise_exception() raises the base class itself; its message is part of the contract.
        kind = "raised" if type(error) is jinja2.exceptions.TemplateError else "failed"
        return result | {"error": kind, "message": str(error)}
    except (TypeError, ZeroDivisionError, ValueError) as error:
        return result | {"error": "failed", "message": f"{type(error).__name__}: {error}"}


def write_cases():
    cases = [case(f"{file}: {name}", {"file": file}, v) for file, name, v in chat_cases.family_cases()]
    cases += [case(name, {"source": s}, chat_cases.VALUES) for name, s in chat_cases.CONSTRUCTS.items()]
    cases += [case(name, {"source": s}, chat_cases.M3) for name, s in chat_cases.MESSAGE_CONSTRUCTS.items()]
    for c in cases:
        if ("error" in c) != any(w in c["name"] for w in EXPECT_ERROR):
            raise SystemExit(f"{c['name']}: {c.get('message', c.get('rendered'))!r}")
    write(TEMPLATES / "expected.json", cases)
    return cases


# Parts of the names of cases that must fail; all others must not.
EXPECT_ERROR = (
    "fails", "raise_exception", "in a row", "assistant first", "unknown role", "content missing", "roles must alternate",
    "nobody asked", "cannot be changed", "llama31.jinja: no messages", "llama31.jinja: two tool calls",
)  # fmt: skip


def write(path, cases):
    head = {"transformers": transformers.__version__, "jinja2": jinja2.__version__}
    head |= {"tokenizers": tokenizers.__version__, "now": NOW.isoformat()}
    lines = [f'"{k}": {json.dumps(v)}' for k, v in head.items()]
    rows = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
    path.write_text("{\n" + ",\n".join(lines) + ',\n"cases": [\n' + rows + "\n]\n}\n")


class ChatEncoder:
    """Renders a conversation and encodes it: special tokens written by the template are ids; spelt in a
    message they are text. Each stretch between the template's special tokens is one text to the tokenizer."""

    def __init__(self, tokenizer_json):
        data = json.loads(tokenizer_json)
        self.special_ids = {t["content"]: t["id"] for t in data["added_tokens"]}
        self.plain = tokenizers.Tokenizer.from_str(json.dumps({**data, "added_tokens": []}))
        self.full = tokenizers.Tokenizer.from_str(tokenizer_json)
        # A message's special tokens travel through the template as one private character each.
        self.marks = {token: chr(FIRST_MARK + i) for i, token in enumerate(self.special_ids)}

    def encode(self, template, variables):
        messages = [{k: self._mark(v) for k, v in m.items()} for m in variables["messages"]]
        text = render(template, {**variables, "messages": messages})
        ids, stretch = [], ""
        while text:
            token = next((t for t in sorted(self.special_ids, key=len, reverse=True) if text.startswith(t)), None)
            if token is None:
                stretch, text = stretch + text[0], text[1:]
            else:
                ids += self._stretch_ids(stretch) + [self.special_ids[token]]
                stretch, text = "", text[len(token) :]
        return ids + self._stretch_ids(stretch)

    def _mark(self, text):
        for token in sorted(self.marks, key=len, reverse=True):
            text = text.replace(token, self.marks[token])
        return text

    def _stretch_ids(self, text):
        for token, mark in self.marks.items():
            text = text.replace(mark, token)
        return self.plain.encode(text, add_special_tokens=False).ids if text else []


def write_ids():
    llama = {"start": "<|start_header_id|>", "end": "<|eot_id|>"}
    qwen = {"start": "<|im_start|>", "end": "<|im_end|>"}
    setups = [("llama3", "llama3.jinja", llama), ("llama3", "llama32.jinja", llama), ("qwen2", "qwen2.jinja", qwen), ("qwen2", "qwen25.jinja", qwen)]
    cases = []
    for tokenizer, file, names in setups:
        encoder = ChatEncoder((ROOT / "tokenizers" / tokenizer / "tokenizer.json").read_text())
        template = (TEMPLATES / file).read_text()
        tokens = {"bos_token": "<|begin_of_text|>" if tokenizer == "llama3" else None, "eos_token": names["end"]}
        for name, messages in chat_cases.id_conversations({**names, "all": list(encoder.special_ids)}):
            variables = {"messages": messages, "add_generation_prompt": True, **tokens}
            ids = encoder.encode(template, variables)
            rendered = render(template, variables)
            spelt = any(t in m["content"] for m in messages for t in encoder.special_ids)
            usual = encoder.full.encode(rendered, add_special_tokens=False).ids
            # Without special tokens in a message this is plain tokenization; with them it must not be.
            if (ids == usual) == spelt:
                raise SystemExit(f"{tokenizer} {file} {name}: {ids} {usual}")
            cases.append({"name": f"{file}: {name}", "tokenizer": tokenizer, "file": file, "variables": variables, "rendered": rendered, "ids": ids})
    write(TEMPLATES / "ids.json", cases)
    return cases


def main():
    cases = write_cases()
    failed = sum("error" in c for c in cases)
    print(f"expected.json: {len(cases)} cases, {failed} of them errors")
    print(f"ids.json: {len(write_ids())} cases")


if __name__ == "__main__":
    main()
