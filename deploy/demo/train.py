#!/usr/bin/env python3
"""Trains LayerCake's bundled demo model (README.md beside this file says how to run it).

The learning rate follows a cosine over --minutes of wall time, so that a run ends when it should on any machine;
what is saved is a moving average of the weights. OUT/state.pt lets a run that was stopped go on with --resume.
"""

import argparse
import json
import math
import random
import time
from pathlib import Path

import tokenizers
import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

import card
import corpus

LLAMA3_SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
                r"|\s*[\r\n]+|\s+(?!\S)|\s+")
CHAT_TEMPLATE = ("{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
                 "+ '<|im_end|>' + '\n' }}{% endfor %}"
                 "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
VOCAB = 3072
CONTEXT = 1024
# (from this share of the run on, tokens in a row): short rows are cheaper, the last see the whole context.
LENGTHS = [(0.0, 256), (0.6, 512), (0.85, CONTEXT)]


def train_tokenizer(texts):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3_SPLIT), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=VOCAB, special_tokens=corpus.SPECIALS, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer


class Stream:
    """Endless batches of packed documents; conversations are made afresh for every pass over the chapters."""

    def __init__(self, tokenizer, chapters, seed, chat_share):
        self.tokenizer, self.chapters, self.chat_share = tokenizer, chapters, chat_share
        self.conversations = corpus.Conversations(chapters)
        self.rng = random.Random(seed)
        self.ids, self.labels = [], []

    def _plain(self, chapter):
        text = chapter.text() if self.rng.random() < 0.7 else "\n".join(chapter.verses) + "\n"
        ids = self.tokenizer.encode(text + corpus.END).ids
        return ids, ids

    def chat(self):
        """Only what the assistant says, and the token that ends it, is learned."""
        ids, labels = [], []
        for role, text in self.conversations.make(self.rng):
            head = self.tokenizer.encode(f"{corpus.START_TURN}{role}\n").ids
            body = self.tokenizer.encode(text + corpus.END_TURN).ids
            tail = self.tokenizer.encode("\n").ids
            ids += head + body + tail
            labels += [-100] * len(head) + (body if role == "assistant" else [-100] * len(body)) + [-100] * len(tail)
        end = self.tokenizer.encode(corpus.END).ids
        return ids + end, labels + end

    def _pass(self):
        documents = [self._plain(c) for c in self.chapters]
        wanted = sum(len(d[0]) for d in documents) * self.chat_share / (1 - self.chat_share)
        while wanted > 0:
            documents.append(self.chat())
            wanted -= len(documents[-1][0])
        self.rng.shuffle(documents)
        for ids, labels in documents:
            self.ids += ids
            self.labels += labels

    def batch(self, rows, length):
        while len(self.ids) < rows * length:
            self._pass()
        n = rows * length
        x, y = torch.tensor(self.ids[:n]).view(rows, length), torch.tensor(self.labels[:n]).view(rows, length)
        del self.ids[:n], self.labels[:n]
        return x, y


def build_model():
    config = transformers.LlamaConfig(
        vocab_size=VOCAB, hidden_size=192, intermediate_size=480, num_hidden_layers=8, num_attention_heads=6,
        num_key_value_heads=2, head_dim=32, max_position_embeddings=CONTEXT, tie_word_embeddings=True,
        rms_norm_eps=1e-5, bos_token_id=0, eos_token_id=[2, 0], pad_token_id=0)
    return transformers.LlamaForCausalLM(config)


def add_dropout(model, p):
    def drop(_module, _inputs, output):
        if not model.training or p == 0:
            return output
        # One mask for all rows of the batch: random numbers are a visible part of a step on a CPU.
        mask = torch.empty_like(output[:1]).bernoulli_(1 - p).div_(1 - p)
        return output * mask
    for layer in model.model.layers:
        layer.self_attn.o_proj.register_forward_hook(drop)
        layer.mlp.register_forward_hook(drop)


def make_optimizer(model, rate):
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.95), fused=True)


@torch.no_grad()
def evaluate(model, rows):
    """Mean loss per token and the number of tokens, over the documents in rows: [(ids, labels)]."""
    model.eval()
    total, count = 0.0, 0
    for ids, labels in rows:
        for at in range(0, len(ids) - 1, CONTEXT // 2):
            x = torch.tensor([ids[at : at + CONTEXT // 2]])
            y = torch.tensor([labels[at : at + CONTEXT // 2]])
            n = int((y[:, 1:] != -100).sum())
            if n:
                total += model(input_ids=x, labels=y, use_cache=False).loss.item() * n
                count += n
    model.train()
    return total / max(count, 1), count


def held_out_rows(tokenizer, chapters, seed=7, conversations=150):
    stream = Stream(tokenizer, chapters, seed, 0.0)
    plain = [(ids, ids) for ids in (tokenizer.encode(c.text() + corpus.END).ids for c in chapters)]
    return plain, [stream.chat() for _ in range(conversations)]


def save(weights, tokenizer, directory, figures):
    """Writes an ordinary Hugging Face directory: bf16 weights, tokenizer, configurations and the card."""
    directory.mkdir(parents=True, exist_ok=True)
    model = build_model()
    model.load_state_dict(weights, strict=False)
    model.tie_weights()
    model.generation_config = transformers.GenerationConfig(
        bos_token_id=0, eos_token_id=[2, 0], pad_token_id=0, do_sample=True, temperature=0.7, top_p=0.9)
    model.to(torch.bfloat16).save_pretrained(directory)
    tokenizer.save(str(directory / "tokenizer.json"))
    added = {str(i): {"content": t, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
                      "special": True} for i, t in enumerate(corpus.SPECIALS)}
    settings = {
        "add_bos_token": False, "add_prefix_space": False, "added_tokens_decoder": added,
        "additional_special_tokens": [corpus.START_TURN, corpus.END_TURN], "bos_token": None,
        "chat_template": CHAT_TEMPLATE, "clean_up_tokenization_spaces": False, "eos_token": corpus.END_TURN,
        "model_max_length": CONTEXT, "pad_token": corpus.END, "tokenizer_class": "PreTrainedTokenizerFast",
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    (directory / "README.md").write_text(card.render(figures))


def saved_losses(directory, held):
    """The losses of what was written, read back as a user would."""
    model = transformers.LlamaForCausalLM.from_pretrained(directory, dtype=torch.float32)
    return evaluate(model, held[0])[0], evaluate(model, held[1])[0]


class Run:
    """The state of one training run: model, average, optimizer, clock."""

    def __init__(self, args):
        self.args, self.step, self.tokens, self.spent, self.loss = args, 0, 0, 0.0, None
        self.model = build_model()
        add_dropout(self.model, args.dropout)
        self.optimizer = make_optimizer(self.model, args.rate)
        self.average = {k: v.detach().clone() for k, v in self.model.named_parameters()}

    def state(self):
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "average": self.average,
                "step": self.step, "tokens": self.tokens, "spent": self.spent, "loss": self.loss}

    def load(self, state):
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average = state["average"]
        self.step, self.tokens, self.spent, self.loss = (state[k] for k in ("step", "tokens", "spent", "loss"))

    def progress(self):
        return min(1.0, self.spent / (self.args.minutes * 60))

    def _set_rate(self):
        warm = min(1.0, (self.step + 1) / 100)
        decay = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * self.progress()))
        for group in self.optimizer.param_groups:
            group["lr"] = self.args.rate * warm * decay

    def train_step(self, stream):
        began = time.monotonic()
        self._set_rate()
        length = [n for share, n in LENGTHS if self.progress() >= share][-1]
        x, y = stream.batch(self.args.batch // length, length)
        with torch.autocast("cpu", torch.bfloat16):
            loss = self.model(input_ids=x, labels=y, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        self.tokens += x.numel()
        self._update_average()
        self.loss = loss.item() if self.loss is None else 0.99 * self.loss + 0.01 * loss.item()
        self.spent += time.monotonic() - began

    @torch.no_grad()
    def _update_average(self):
        keep = min(0.998, self.step / (self.step + 10))
        for name, value in self.model.named_parameters():
            self.average[name].lerp_(value, 1 - keep)


def checkpoint(run, tokenizer, held, sizes):
    out = Path(run.args.out)
    figures = {"step": run.step, "tokens": run.tokens, "minutes": run.spent / 60, "train": run.loss,
               "args": vars(run.args), "parameters": sum(p.numel() for p in run.model.parameters()), **sizes,
               "versions": {m.__name__: m.__version__ for m in (torch, transformers, tokenizers)}}
    save(run.average, tokenizer, out / "model", {**figures, "plain": 0.0, "chat": 0.0})
    plain, chat = saved_losses(out / "model", held)
    figures.update(plain=plain, chat=chat, bits_per_byte=plain * sizes["held_tokens"] / sizes["held_bytes"] / math.log(2))
    (out / "model" / "README.md").write_text(card.render(figures))
    (out / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    torch.save(run.state(), out / "state.pt.new")
    (out / "state.pt.new").replace(out / "state.pt")
    print(f"saved at step {run.step}: held-out loss {plain:.4f} text, {chat:.4f} chat; "
          f"training {run.loss:.4f}; {run.spent / 60:.1f} min", flush=True)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", help="what `bible -l 1000 Gen1:1-Rev22:21` prints; default: run that program")
    parser.add_argument("--out", required=True, help="receives model/, figures.json and state.pt")
    parser.add_argument("--minutes", type=float, default=66, help="wall time of training steps")
    parser.add_argument("--threads", type=int, default=1, help="more than the idle cores slow it down badly")
    parser.add_argument("--batch", type=int, default=2048, help="tokens in a step")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--dropout", type=float, default=0.05)
    parser.add_argument("--chat-share", type=float, default=0.35)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save-every", type=float, default=6, help="minutes")
    parser.add_argument("--resume", action="store_true")
    return parser.parse_args()


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    chapters, held_chapters = corpus.split(corpus.parse(corpus.read_text(args.text)))
    talk, rng = corpus.Conversations(chapters), random.Random(0)
    texts = [c.text() for c in chapters] + [t for _ in range(4000) for _, t in talk.make(rng)]
    tokenizer = train_tokenizer(texts)
    held = held_out_rows(tokenizer, held_chapters)
    sizes = {"held_chapters": len(held_chapters), "held_tokens": sum(len(i) - 1 for i, _ in held[0]),
             "held_bytes": sum(len(c.text().encode()) for c in held_chapters),
             "train_bytes": sum(len(c.text().encode()) for c in chapters),
             "train_tokens": sum(len(tokenizer.encode(c.text()).ids) for c in chapters)}
    print(sizes, flush=True)
    run = Run(args)
    if args.resume:
        run.load(torch.load(out / "state.pt"))
    stream, saved = Stream(tokenizer, chapters, args.seed + run.step, args.chat_share), run.spent
    run.model.train()
    while run.progress() < 1.0:
        run.train_step(stream)
        if run.step % 50 == 0:
            print(f"step {run.step} loss {run.loss:.4f} {run.tokens / run.spent:.0f} tokens/s "
                  f"{run.spent / 60:.1f} min", flush=True)
        if run.spent - saved > args.save_every * 60 and run.progress() < 1.0:
            saved = run.spent
            checkpoint(run, tokenizer, held, sizes)
    checkpoint(run, tokenizer, held, sizes)


if __name__ == "__main__":
    main()
