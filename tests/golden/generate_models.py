#!/usr/bin/env python3
"""Writes tests/golden/models: tiny random checkpoints and what transformers answers with them.

    generate_models.py [NAME...]      all of model_specs.SPECS by default

Weights are stored in the spec's dtype; the reference loads them, computes in float32 with eager
attention, and its answers go to expected.json. Prompts are found by search: at every greedy step
the two best logits stay apart, also with the K and V cache rounded to float16 and with the inputs of
every linear layer rounded to bfloat16, so a right implementation has no ties to break.
"""

import argparse
import json
import math
import os
import shutil
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import tokenizers
import torch
import transformers
from transformers.models.llama import modeling_llama
from transformers.models.mistral import modeling_mistral
from transformers.models.mixtral import modeling_mixtral
from transformers.models.qwen2 import modeling_qwen2
from transformers.models.qwen3 import modeling_qwen3
from transformers.models.qwen3_moe import modeling_qwen3_moe

from model_specs import LENGTHS, SPECS
from quantize import quantize

ROOT = Path(__file__).resolve().parent / "models"
DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
BYTE_TOKENIZER_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
GREEDY_TOKENS = 64
CANDIDATES = 512
MIN_MARGIN = 2e-3
MIN_DISTINCT = 16


def normal(rng, shape, std):
    return torch.from_numpy((rng.standard_normal(shape) * std).astype(np.float32))


def experts_of(config, layer):
    """The experts of a layer, and what a checkpoint calls them; None: it is dense."""
    if config["model_type"] == "mixtral":
        number, module = config["num_local_experts"], "block_sparse_moe."
        width, names = config["intermediate_size"], ("w1", "w3", "w2")
    elif config["model_type"] == "qwen3_moe":
        if layer in config["mlp_only_layers"] or (layer + 1) % config["decoder_sparse_step"]:
            return None
        number, module = config["num_experts"], "mlp."
        width, names = config["moe_intermediate_size"], ("gate_proj", "up_proj", "down_proj")
    else:
        return None
    return {
        "number": number,
        "router": module + "gate",
        "modules": [f"{module}experts.{e}." for e in range(number)],
        "names": names,
        "width": width,
    }


def make_weights(config, extras, rng):
    hidden, inter, vocab = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    heads = config["num_attention_heads"]
    kv_heads = config.get("num_key_value_heads") or heads
    head_dim = config.get("head_dim") or hidden // heads
    tied = config.get("tie_word_embeddings", False)
    qwen = config["model_type"] == "qwen2"
    attention_bias = config.get("attention_bias", False)
    mlp_bias = config.get("mlp_bias", False)
    weights = {}

    def linear(name, rows, cols, gain, bias=False):
        weights[name + ".weight"] = normal(rng, (rows, cols), gain / math.sqrt(cols))
        if bias:
            weights[name + ".bias"] = normal(rng, rows, 0.3)

    def norm(name, size=hidden):
        weights[name + ".weight"] = torch.from_numpy(
            rng.uniform(0.5, 1.5, size).astype(np.float32)
        )

    weights["model.embed_tokens.weight"] = normal(rng, (vocab, hidden), 0.15)
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        linear(layer + "self_attn.q_proj", heads * head_dim, hidden, 1.6, qwen or attention_bias)
        linear(layer + "self_attn.k_proj", kv_heads * head_dim, hidden, 1.6, qwen or attention_bias)
        linear(layer + "self_attn.v_proj", kv_heads * head_dim, hidden, 1.0, qwen or attention_bias)
        linear(layer + "self_attn.o_proj", hidden, heads * head_dim, 0.7, attention_bias)
        experts = experts_of(config, i)
        if experts:
            linear(layer + experts["router"], experts["number"], hidden, 2.0)
        for mlp in experts["modules"] if experts else ["mlp."]:
            gate, up, down = experts["names"] if experts else ("gate_proj", "up_proj", "down_proj")
            width = experts["width"] if experts else inter
            linear(layer + mlp + gate, width, hidden, 1.2, mlp_bias)
            linear(layer + mlp + up, width, hidden, 1.0, mlp_bias)
            linear(layer + mlp + down, hidden, width, 0.7, mlp_bias)
        norm(layer + "input_layernorm")
        norm(layer + "post_attention_layernorm")
        if config["model_type"].startswith("qwen3"):
            norm(layer + "self_attn.q_norm", head_dim)
            norm(layer + "self_attn.k_norm", head_dim)
        if extras.get("inv_freq"):
            weights[layer + "self_attn.rotary_emb.inv_freq"] = 1.0 / (
                10000.0 ** (torch.arange(0, head_dim, 2).float() / head_dim)
            )
    norm("model.norm")
    if not tied:
        linear("lm_head", vocab, hidden, 1.5)
    elif extras.get("stored_tied_head"):
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    return weights


def as_stored(spec, weights):
    extras = spec.get("extras", {})
    dtype = DTYPES[spec["dtype"]]

    def stored(name, tensor):
        keep = name.endswith("inv_freq") or (extras.get("f32_norms") and "norm" in name)
        return (tensor if keep else tensor.to(dtype)).contiguous()

    return {name: stored(name, tensor) for name, tensor in weights.items()}


def write_checkpoint(directory, spec, weights):
    extras = spec.get("extras", {})
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(spec["config"], indent=2) + "\n")
    (directory / "generation_config.json").write_text(
        json.dumps({k: spec["config"][k] for k in ("bos_token_id", "eos_token_id")}, indent=2) + "\n"
    )
    if extras.get("byte_tokenizer"):
        write_byte_tokenizer(directory)
    shards = spec.get("shards", 1)
    if shards == 1:
        safetensors.torch.save_file(
            weights, directory / "model.safetensors", metadata={"format": "pt"}
        )
        return
    names = sorted(weights)
    weight_map = {}
    for s in range(shards):
        # Cut by number of tensors, so that a layer's tensors lie in two files.
        part = names[s * len(names) // shards : (s + 1) * len(names) // shards]
        file = f"model-{s + 1:05d}-of-{shards:05d}.safetensors"
        safetensors.torch.save_file(
            {n: weights[n] for n in part}, directory / file, metadata={"format": "pt"}
        )
        weight_map |= {n: file for n in part}
    total = sum(t.numel() * t.element_size() for t in weights.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def write_byte_tokenizer(directory):
    """One id a byte, seven special tokens: text in and out of a vocabulary of 263."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] + alphabet
    names += [f"<|extra_{i}|>" for i in range(4)]
    vocab = {name: i for i, name in enumerate(names)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.add_special_tokens([name for name in names if name.startswith("<|")])
    tokenizer.save(str(directory / "tokenizer.json"))
    config = {
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "chat_template": BYTE_TOKENIZER_TEMPLATE,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def load(directory):
    model = transformers.AutoModelForCausalLM.from_pretrained(
        directory,
        dtype=torch.float32,
        attn_implementation="eager",
        experts_implementation="eager",  # the default takes no odd widths
        local_files_only=True,
    )
    return model.eval()


def load_real(spec, real):
    """The model of the numbers that a quantized checkpoint's integers stand for."""
    with tempfile.TemporaryDirectory() as directory:
        config = {k: v for k, v in spec["config"].items() if k != "quantization_config"}
        directory = Path(directory) / "real"
        real = {name: tensor.float().contiguous() for name, tensor in real.items()}
        write_checkpoint(directory, {"config": config}, real)
        return load(directory)


def check_decompressed(directory, real):
    """The library of the format's makers reads the same numbers, which it rounds to bfloat16."""
    config = transformers.CompressedTensorsConfig(dequantize=True)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, quantization_config=config, local_files_only=True
    )
    for name, tensor in model.state_dict().items():
        if not torch.equal(tensor.float(), real[name].bfloat16().float()):
            raise SystemExit(f"{directory.name}: {name} is read otherwise by compressed-tensors")


def rounded_kv_attention(original):
    def forward(module, query, key, value, *args, **kwargs):
        return original(module, query, key.half().float(), value.half().float(), *args, **kwargs)

    return forward


class RoundedKv:
    """Within it, attention reads K and V rounded to float16."""

    MODULES = (
        modeling_llama,
        modeling_mistral,
        modeling_mixtral,
        modeling_qwen2,
        modeling_qwen3,
        modeling_qwen3_moe,
    )

    def __enter__(self):
        self.originals = [m.eager_attention_forward for m in self.MODULES]
        for m in self.MODULES:
            m.eager_attention_forward = rounded_kv_attention(m.eager_attention_forward)

    def __exit__(self, *_):
        for m, original in zip(self.MODULES, self.originals):
            m.eager_attention_forward = original


class RoundedInputs:
    """Within it, the inputs of all linear layers, routers and experts are rounded to bfloat16."""

    def __init__(self, model):
        self.model = model

    def __enter__(self):
        hook = lambda _, inputs: (inputs[0].bfloat16().float(), *inputs[1:])
        self.handles = [
            m.register_forward_pre_hook(hook)
            for m in self.model.modules()
            if isinstance(m, torch.nn.Linear) or type(m).__name__.endswith(("Experts", "Router"))
        ]

    def __exit__(self, *_):
        for h in self.handles:
            h.remove()


def greedy(model, prompts):
    """prompts [n, length] -> [n, GREEDY_TOKENS], with the model's own cache."""
    cache, ids, out = None, prompts, []
    for _ in range(GREEDY_TOKENS):
        result = model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache = result.past_key_values
        ids = result.logits[:, -1:].argmax(-1)
        out.append(ids)
    return torch.cat(out, 1)


def margins(model, prompts, generated):
    """Distance from the greedy token's logit to the best other, in standard deviations of that step's
    logits, at the worst step: [n]. Negative where another token wins."""
    length = prompts.shape[1]
    logits = model(torch.cat([prompts, generated], 1), use_cache=False).logits
    logits = logits[:, length - 1 : -1]
    chosen = logits.gather(2, generated[..., None]).squeeze(2)
    others = logits.scatter(2, generated[..., None], -math.inf).amax(2)
    return ((chosen - others) / logits.std(2)).amin(1)


def search_prompt(model, length, vocab, seed):
    """The prompt of `length` whose greedy path has the widest margin of CANDIDATES random ones."""
    rng = np.random.default_rng([seed, length])
    if length == 1:
        prompts = torch.arange(vocab)[:, None]
    else:
        prompts = torch.from_numpy(rng.integers(0, vocab, (CANDIDATES, length)))
    generated = torch.cat([greedy(model, p) for p in prompts.split(128)])
    varied = torch.tensor([len(set(g.tolist())) >= MIN_DISTINCT for g in generated])
    if not varied.any():
        raise SystemExit(f"no prompt of length {length} has a varied answer")
    prompts, generated = prompts[varied], generated[varied]
    pairs = list(zip(prompts.split(128), generated.split(128)))
    plain = torch.cat([margins(model, p, g) for p, g in pairs])
    with RoundedKv():
        kv = torch.cat([margins(model, p, g) for p, g in pairs])
    with RoundedInputs(model):
        inputs = torch.cat([margins(model, p, g) for p, g in pairs])
    best = torch.minimum(plain, torch.minimum(kv, inputs)).argmax()
    found = {
        "min_margin": plain[best].item(),
        "min_margin_f16_kv": kv[best].item(),
        "min_margin_bf16_inputs": inputs[best].item(),
        "distinct_greedy_ids": len(set(generated[best].tolist())),
    }
    if min(found["min_margin"], found["min_margin_f16_kv"]) < MIN_MARGIN:
        raise SystemExit(f"no prompt of length {length} has wide margins: {found}")
    return prompts[best], generated[best], found


def compact(values):
    return [float(f"{v:.7g}") for v in values.flatten().tolist()]


def describe(model, prompt, generated, found):
    length = len(prompt)
    sequence = torch.cat([prompt, generated])
    logits = model(sequence[None], use_cache=False).logits[0]
    prefill = model(prompt[None], use_cache=False).logits[0]
    positions = sorted({0, 1, length // 4, length // 2, length - 2} & set(range(length - 1)))
    logprobs = logits.log_softmax(-1)
    steps = [s for s in (0, 1, 9) if s < len(generated)]
    top = [logprobs[length - 1 + s].topk(5) for s in steps]
    scored = prefill.log_softmax(-1)[:-1].gather(1, prompt[1:, None])
    return {
        "ids": prompt.tolist(),
        "last_logits": compact(prefill[-1]),
        "positions": positions,
        "position_logits": [compact(prefill[p]) for p in positions],
        "prompt_logprobs": compact(scored),
        "greedy_ids": generated.tolist(),
        "greedy_logprobs": compact(
            logprobs[length - 1 : -1].gather(1, generated[:, None])
        ),
        "top_logprob_steps": steps,
        "top_logprobs": [list(zip(t.indices.tolist(), compact(t.values))) for t in top],
        **{k: round(v, 5) for k, v in found.items()},
    }


def ablate(directory, overrides, prompt):
    """Last logits of `prompt` with changed config, same weights."""
    with tempfile.TemporaryDirectory() as changed:
        for file in directory.iterdir():
            os.symlink(file, Path(changed) / file.name)
        config = json.loads((directory / "config.json").read_text()) | overrides
        (Path(changed) / "config.json").unlink()
        (Path(changed) / "config.json").write_text(json.dumps(config))
        return load(changed)(prompt[None], use_cache=False).logits[0, -1]


def write_expected(directory, data):
    """One key a line at the top, one prompt's key a line below: diffs stay readable, files small."""
    dump = lambda value: json.dumps(value, separators=(",", ":"))
    lines = [f'"{k}": {dump(v)}' for k, v in data.items() if k != "prompts"]
    prompts = [
        "{" + ",\n  ".join(f'"{k}": {dump(v)}' for k, v in p.items()) + "}" for p in data["prompts"]
    ]
    lines.append('"prompts": [\n  ' + ",\n  ".join(prompts) + "\n]")
    (directory / "expected.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


@torch.no_grad()
def generate(name, spec):
    directory = ROOT / name
    seed = zlib.crc32(name.encode())
    rng = np.random.Generator(np.random.PCG64(seed))
    weights = make_weights(spec["config"], spec.get("extras", {}), rng)
    weights = as_stored(spec, weights)
    quantization = spec.get("quantize")
    real = weights
    if quantization:
        weights, real = quantize(weights, quantization, rng)
    write_checkpoint(directory, spec, weights)
    model = load_real(spec, real) if quantization else load(directory)
    if quantization and quantization["method"] == "compressed-tensors":
        check_decompressed(directory, real)
    vocab = spec["config"]["vocab_size"]
    prompts = []
    for length in spec.get("lengths", LENGTHS):
        prompt, generated, found = search_prompt(model, length, vocab, seed)
        prompts.append(describe(model, prompt, generated, found))
    if "prefill_only_length" in spec:
        prompt = torch.from_numpy(
            np.random.default_rng(seed).integers(0, vocab, spec["prefill_only_length"])
        )
        # A fresh model: dynamic scaling remembers the longest sequence it has seen.
        prompts.append(describe(load(directory), prompt, prompt[:0], {}))
    longest = torch.tensor(prompts[-1]["ids"])
    reference = torch.tensor(prompts[-1]["last_logits"])
    held = quantization is not None and quantization["method"] == "held"
    effects = []
    for overrides in spec["ablations"]:
        change = (ablate(directory, overrides, longest) - reference).abs().max() / reference.std()
        if change < 0.05:
            raise SystemExit(f"{name}: {overrides} changes the logits by {change:.4f} only")
        effects.append({"config": overrides, "max_change": round(change.item(), 3)})
    write_expected(
        directory,
        {
            "model": name,
            "made_with": {
                "transformers": transformers.__version__,
                "torch": torch.__version__.split("+")[0],
                "safetensors": safetensors.__version__,
                "numpy": np.__version__,
            },
            "stored_dtype": spec["dtype"],
            **({"weights": f"int{quantization['bits']}"} if held else {}),
            "reference": "weights widened to float32, float32 arithmetic, eager attention",
            "margins_in": "standard deviations of the step's logits",
            "ablations": effects,
            "prompts": prompts,
        },
    )
    size = sum(f.stat().st_size for f in directory.iterdir())
    shown = [
        tuple(p[k] for k in ("min_margin", "min_margin_f16_kv", "min_margin_bf16_inputs", "distinct_greedy_ids"))
        for p in prompts
        if p["greedy_ids"]
    ]
    print(f"{name:20} {size / 1024:6.0f} KiB  {shown} {[e['max_change'] for e in effects]}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    names = parser.parse_args().names or list(SPECS)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    for name in names:
        generate(name, SPECS[name])


if __name__ == "__main__":
    sys.exit(main())
