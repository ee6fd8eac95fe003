#!/usr/bin/env python3
"""Writes demo_expected.json: what the bundled demo model says greedily, by transformers in float32.

    python tests/golden/demo_expected.py          (versions: deploy/demo/README.md)

Run it again whenever deploy/demo/model changes. A prompt is kept only if, at every step, the best logit leads the second
by more than MARGIN, so that another correct implementation must pick the same ids. Float64 must agree with float32.
"""

import hashlib
import json
from pathlib import Path

import tokenizers
import torch
import transformers

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "deploy" / "demo" / "model"
TOKENS = 48
MARGIN = 1e-2
KEEP_TEXT, KEEP_CHAT = 5, 5

TEXTS = [
    "In the beginning God", "And it came to pass", "The LORD is my shepherd", "Blessed are they that",
    "And the king said unto", "Now there was a man", "Psalm 23\n\n", "Genesis 1\n\n", "And David said", "Then Jesus said unto them",
    "And Moses went up", "The fear of the LORD", "A wise son", "Thus saith the LORD of hosts", "Hear, O Israel",
    "And in the seventh year", "Woe unto", "My son, forget not", "And Solomon built", "For God so loved the world",
]
CHATS = [
    "Hello.", "Who are you?", "What is LayerCake?", "Thank you.", "Tell me about wisdom.", "Tell me about mercy.",
    "Who was Moses?", "Who was David?", "Tell me a story.", "Sing me a psalm.", "Give me some advice.",
    "Continue: In the beginning God created", "Continue: And the LORD said unto Moses,", "What is faith?",
    "Tell me about the sea.", "What does the Bible say about kings?", "Tell me a story about Abraham.",
    "Continue: The heavens declare the glory", "Who was Solomon?", "Finish this verse: Blessed is the man that",
]


@torch.no_grad()
def greedy(model, prompt, ends):
    """(continuation, smallest lead of the best logit). The whole sequence is computed anew for each token: no cache."""
    ids, lead = list(prompt), float("inf")
    while len(ids) < len(prompt) + TOKENS:
        top = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].topk(2)
        lead = min(lead, (top.values[0] - top.values[1]).item())
        ids.append(int(top.indices[0]))
        if ids[-1] in ends:
            break
    return ids[len(prompt):], lead


def expect(kind, text, rendered, tokenizer, models):
    """The entry for a prompt, or None when its greedy path has a near tie. `rendered`: after the chat template."""
    single, double = models
    prompt = tokenizer(rendered)["input_ids"]
    ends = single.generation_config.eos_token_id
    output, lead = greedy(single, prompt, ends)
    again, exact_lead = greedy(double, prompt, ends)
    lead = min(lead, exact_lead)
    verdict = "kept" if lead > MARGIN and output == again else "left out"
    print(f"{verdict:8} lead {lead:8.4f} {len(output):2} tokens  {text!r}")
    if verdict != "kept":
        return None
    return {"kind": kind, "prompt": text, "rendered": rendered, "prompt_ids": prompt, "output_ids": output,
            "stopped": output[-1] in ends, "text": tokenizer.decode(output, skip_special_tokens=True),
            "smallest_lead": round(lead, 5)}


def choose(entries, count):
    """Distinct answers only, so that a model that says one thing to everything cannot pass."""
    kept = []
    for entry in entries:
        if len(kept) < count and entry and entry["output_ids"] not in [k["output_ids"] for k in kept]:
            kept.append(entry)
    return kept


def main():
    torch.set_num_threads(1)
    tokenizer = transformers.AutoTokenizer.from_pretrained(MODEL)
    models = [transformers.LlamaForCausalLM.from_pretrained(MODEL, dtype=t, attn_implementation="eager").eval()
              for t in (torch.float32, torch.float64)]
    texts = [expect("text", t, t, tokenizer, models) for t in TEXTS]
    chats = []
    for text in CHATS:
        rendered = tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], add_generation_prompt=True, tokenize=False)
        chats.append(expect("chat", text, rendered, tokenizer, models))
    cases = choose(texts, KEEP_TEXT) + choose(chats, KEEP_CHAT)
    if len(cases) < KEEP_TEXT + KEEP_CHAT:
        raise SystemExit(f"only {len(cases)} prompts have a clear greedy path: add prompts")
    result = {
        "generator": "tests/golden/demo_expected.py",
        "versions": {m.__name__: m.__version__ for m in (torch, transformers, tokenizers)},
        "weights_sha256": hashlib.sha256((MODEL / "model.safetensors").read_bytes()).hexdigest(),
        "max_tokens": TOKENS, "margin": MARGIN, "cases": cases,
    }
    (Path(__file__).with_suffix(".json")).write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    print(f"wrote {len(cases)} cases; smallest lead {min(c['smallest_lead'] for c in cases)}")


if __name__ == "__main__":
    main()
