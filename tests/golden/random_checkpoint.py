#!/usr/bin/env python3
"""Writes a checkpoint of a real model's geometry with random weights, for benchmarks.

    random_checkpoint.py --config qwen2.5-0.5b --dtype bf16 OUT_DIR

Speed and memory depend on shapes alone, so it stands in for the real one; what it says is noise. The
tokenizer is one of tests/golden/tokenizers: smaller than the vocabulary, most ids have no text.
"""

import argparse
import json
import shutil
from pathlib import Path

import safetensors.torch
import torch

TOKENIZERS = Path(__file__).resolve().parent / "tokenizers"
DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
SHARD_BYTES = 4 << 30

_QWEN2 = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_act": "silu",
    "bos_token_id": 151643,
    "eos_token_id": 151645,
    "max_position_embeddings": 32768,
    "max_window_layers": 21,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "sliding_window": 32768,
    "use_sliding_window": False,
    "vocab_size": 151936,
}
_LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "attention_bias": False,
    "mlp_bias": False,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-05,
    "rope_theta": 500000.0,
}
_LLAMA3 = {**_LLAMA, "bos_token_id": 128000, "eos_token_id": 128001, "vocab_size": 128256}

CONFIGS = {
    "qwen2.5-0.5b": {
        **_QWEN2,
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_attention_heads": 14,
        "num_hidden_layers": 24,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
    },
    "qwen1.5-1.8b": {
        **_QWEN2,
        "hidden_size": 2048,
        "intermediate_size": 5504,
        "num_attention_heads": 16,
        "num_hidden_layers": 24,
        "num_key_value_heads": 16,
        "tie_word_embeddings": False,
    },
    "llama-3.2-1b": {
        **_LLAMA3,
        "head_dim": 64,
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "max_position_embeddings": 131072,
        "num_attention_heads": 32,
        "num_hidden_layers": 16,
        "num_key_value_heads": 8,
        "rope_scaling": {
            "factor": 32.0,
            "high_freq_factor": 4.0,
            "low_freq_factor": 1.0,
            "original_max_position_embeddings": 8192,
            "rope_type": "llama3",
        },
        "tie_word_embeddings": True,
    },
    "llama-3-8b": {
        **_LLAMA3,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "max_position_embeddings": 8192,
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "num_key_value_heads": 8,
        "tie_word_embeddings": False,
    },
    "tiny-bench": {
        **_LLAMA,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_size": 512,
        "intermediate_size": 1536,
        "max_position_embeddings": 4096,
        "num_attention_heads": 8,
        "num_hidden_layers": 8,
        "num_key_value_heads": 4,
        "tie_word_embeddings": False,
        "vocab_size": 4096,
    },
}


def tensor_shapes(config):
    """(name, shape) in the order of the model."""
    hidden, inter = config["hidden_size"], config["intermediate_size"]
    head_dim = config.get("head_dim", hidden // config["num_attention_heads"])
    q = config["num_attention_heads"] * head_dim
    kv = config["num_key_value_heads"] * head_dim
    yield "model.embed_tokens.weight", (config["vocab_size"], hidden)
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        yield layer + "input_layernorm.weight", (hidden,)
        for name, rows in (("q_proj", q), ("k_proj", kv), ("v_proj", kv)):
            yield f"{layer}self_attn.{name}.weight", (rows, hidden)
            if config["model_type"] == "qwen2":
                yield f"{layer}self_attn.{name}.bias", (rows,)
        yield layer + "self_attn.o_proj.weight", (hidden, q)
        yield layer + "post_attention_layernorm.weight", (hidden,)
        yield layer + "mlp.gate_proj.weight", (inter, hidden)
        yield layer + "mlp.up_proj.weight", (inter, hidden)
        yield layer + "mlp.down_proj.weight", (hidden, inter)
    yield "model.norm.weight", (hidden,)
    if not config["tie_word_embeddings"]:
        yield "lm_head.weight", (config["vocab_size"], hidden)


def split_shards(config, dtype):
    shards, size = [[]], 0
    for name, shape in tensor_shapes(config):
        tensor_bytes = torch.Size(shape).numel() * dtype.itemsize
        if size + tensor_bytes > SHARD_BYTES and shards[-1]:
            shards.append([])
            size = 0
        shards[-1].append((name, shape))
        size += tensor_bytes
    return shards


def random_tensor(name, shape, dtype, generator):
    if name.endswith("norm.weight"):
        return torch.ones(shape, dtype=dtype)
    std = 0.02 if len(shape) == 1 or "embed" in name else shape[1] ** -0.5
    return torch.empty(shape, dtype=dtype).normal_(0, std, generator=generator)


def write_weights(config, dtype, seed, out):
    generator = torch.Generator().manual_seed(seed)
    shards = split_shards(config, dtype)
    weight_map = {}
    for i, shard in enumerate(shards):
        file = "model.safetensors"
        if len(shards) > 1:
            file = f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors"
        tensors = {name: random_tensor(name, shape, dtype, generator) for name, shape in shard}
        safetensors.torch.save_file(tensors, out / file, metadata={"format": "pt"})
        weight_map |= {name: file for name in tensors}
    total = sum((out / file).stat().st_size for file in set(weight_map.values()))
    if len(shards) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (out / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", choices=CONFIGS, required=True)
    parser.add_argument("--dtype", choices=DTYPES, default="bf16")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("out", type=Path, metavar="OUT_DIR")
    args = parser.parse_args()
    config = CONFIGS[args.config]
    dtype = DTYPES[args.dtype]
    args.out.mkdir(parents=True, exist_ok=True)
    stored = {**config, "torch_dtype": str(dtype).removeprefix("torch.")}
    (args.out / "config.json").write_text(json.dumps(stored, indent=2) + "\n")
    special = {k: config[k] for k in ("bos_token_id", "eos_token_id")}
    (args.out / "generation_config.json").write_text(json.dumps(special, indent=2) + "\n")
    tokenizer = TOKENIZERS / ("qwen2" if config["model_type"] == "qwen2" else "llama3")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if (tokenizer / name).exists():
            shutil.copy(tokenizer / name, args.out / name)
    total = write_weights(config, dtype, args.seed, args.out)
    print(f"{args.out}: {args.config} {args.dtype}, {total / 1e9:.2f} GB of weights")


if __name__ == "__main__":
    main()
