#!/usr/bin/env python3
"""Writes a checkpoint of a real model's geometry in bf16, with nothing but Python.

    random_weights.py --config llama-3-8b OUT_DIR

For speed alone: every matrix repeats the same block of normally distributed numbers. Where PyTorch
is at hand, tests/golden/random_checkpoint.py draws each number.
"""

import argparse
import json
import math
import pathlib
import random
import shutil
import struct
import sys

HERE = pathlib.Path(__file__).resolve().parent
# Beside this file in the bundle, and in the room next door in the source tree.
GOLDEN = next(p for p in (HERE / "golden", HERE.parent / "golden") if p.is_dir())
sys.path.insert(0, str(GOLDEN))
from geometries import CONFIGS, tensor_shapes  # noqa: E402

BLOCK_NUMBERS = 1 << 18
ONE = b"\x80\x3f"


def bf16_block(std):
    draw = random.Random(0)
    floats = struct.pack(f"<{BLOCK_NUMBERS}f", *(draw.gauss(0, std) for _ in range(BLOCK_NUMBERS)))
    return b"".join(floats[i + 2:i + 4] for i in range(0, len(floats), 4))


def write_repeated(file, block, size):
    while size > 0:
        size -= file.write(block[:size])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", choices=CONFIGS, required=True)
    parser.add_argument("out", type=pathlib.Path, metavar="OUT_DIR")
    args = parser.parse_args()
    config = CONFIGS[args.config]
    args.out.mkdir(parents=True, exist_ok=True)
    stored = {**config, "torch_dtype": "bfloat16"}
    (args.out / "config.json").write_text(json.dumps(stored, indent=2) + "\n")
    tokenizer = GOLDEN / "tokenizers" / ("qwen2" if config["model_type"] == "qwen2" else "llama3")
    for path in tokenizer.glob("tokenizer*.json"):
        shutil.copy(path, args.out / path.name)
    header, end = {}, 0
    for name, shape in tensor_shapes(config):
        begin, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    words = json.dumps(header).encode()
    words += b" " * (-len(words) % 8)
    ones, drawn = ONE * BLOCK_NUMBERS, bf16_block(config["hidden_size"] ** -0.5)
    with open(args.out / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(words)) + words)
        for name, tensor in header.items():
            begin, end = tensor["data_offsets"]
            write_repeated(file, ones if name.endswith("norm.weight") else drawn, end - begin)
    print(f"{args.out}: {args.config} bf16, {end / 1e9:.2f} GB of weights")


if __name__ == "__main__":
    main()
