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

from geometries import CONFIGS, tensor_shapes

TOKENIZERS = Path(__file__).resolve().parent / "tokenizers"
DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
SHARD_BYTES = 4 << 30


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
