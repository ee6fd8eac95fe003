"""The model card: one text, filled with the figures of the run that made the weights."""

import math

TEXT = """---
license: apache-2.0
language: en
library_name: transformers
---
# LayerCake's demo model

A toy: {millions:.2f} million parameters that write in the manner of the King James Bible. It is bundled so that a fresh
clone can serve something real, over several stages, without fetching a model.

| | |
|---|---|
| architecture | `LlamaForCausalLM`: 8 layers, hidden 192, MLP 480, 6 heads over 2 key/value heads of 32, tied embeddings, RoPE (theta 10000), context 1024 |
| weights | bf16, one `model.safetensors` |
| tokenizer | byte-level BPE, 3072 tokens, Llama-3's pre-tokenizer, no BOS; `<|endoftext|>`, `<|im_start|>`, `<|im_end|>` |
| chat | ChatML template |

## Data

The Authorized (King James) Version of the Bible, as Debian's package `bible-kjv-text` carries it: {train_mb:.2f} MB, {train_tokens} tokens
to train on; {held_chapters} whole chapters ({held_tokens} tokens) more were held out. The translation dates from 1611 and its copyright has expired; the package's
copyright file says so. ({chat_share:.0%} of the training tokens are conversations made from the same verses by
`corpus.py`; the handful of sentences that are not quotations were written for this project.)

## Training

{steps} steps of {batch_tokens:.0f} tokens ({tokens:.1f} million tokens, {passes:.1f} passes over the chapters), {minutes:.0f} minutes on {threads} shared CPU thread(s) in bf16
autocast; AdamW, peak learning rate {rate:g}, cosine, weight decay 0.1, dropout {dropout:g}; the weights are a moving average.
torch {torch}, transformers {transformers}, tokenizers {tokenizers}.

| loss, nats per token | | perplexity |
|---|---|---|
| training (running mean, with dropout) | {train:.3f} | {train_ppl:.1f} |
| held-out chapters | {plain:.3f} | {plain_ppl:.1f} |
| held-out conversations, answers only | {chat:.3f} | {chat_ppl:.1f} |

The held-out figures are of the bf16 weights in this directory, computed in float32: {bits:.3f} bits per byte of text.

## Limits

It knows nothing but one book, and that badly: the English is recognisable, the sense is not to be relied on. Verses it
seems to quote are mostly its own invention. It follows no instructions beyond the few patterns it was shown (tell me
about, who was, continue, a story, a psalm, advice, greetings), often passes over the very word it was asked about, falls into
loops when decoded greedily (sample: temperature 0.7, top-p 0.9), does not know the present, and speaks with the voice and the
violence of its source. Use it to see a server work, for nothing else.
"""


def render(figures):
    args, versions = figures["args"], figures["versions"]
    values = {
        "millions": figures["parameters"] / 1e6, "train_mb": figures["train_bytes"] / 1e6, "steps": figures["step"],
        "tokens": figures["tokens"] / 1e6, "batch_tokens": figures["tokens"] / figures["step"],
        "train_ppl": math.exp(figures["train"]), "plain_ppl": math.exp(figures["plain"]),
        "chat_ppl": math.exp(figures["chat"]), "bits": figures.get("bits_per_byte", 0.0),
    }
    values["passes"] = figures["tokens"] * (1 - args["chat_share"]) / figures["train_tokens"]
    names = ("train_tokens", "held_chapters", "held_tokens", "minutes", "train", "plain", "chat")
    values.update({n: figures[n] for n in names})
    values.update({n: args[n] for n in ("threads", "rate", "dropout", "chat_share")})
    values.update(versions)
    return TEXT.format(**values)
