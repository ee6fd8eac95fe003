#!/usr/bin/env python3
"""Checks that the quantizers' own code reads the quantized models as quantize.py says they read.

    pip download --no-deps auto-gptq==0.7.1 autoawq==0.2.9, unpack both, then
    check_quantized.py DIR_WITH_auto_gptq DIR_WITH_awq

Only their reading is run, from the files, without what else the packages would install.
"""

import argparse
import importlib.util
import sys
import types
import zlib
from pathlib import Path

import numpy as np
import safetensors.torch
import torch

import generate_models
from model_specs import SPECS
from quantize import quantize

ROUNDING = 1e-3  # their arithmetic is f16


def module_of(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def stood_for(name):
    """The weights that a model's integers stand for, made again."""
    spec = SPECS[name]
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    weights = generate_models.make_weights(spec["config"], spec.get("extras", {}), rng)
    return quantize(generate_models.as_stored(spec, weights), spec["quantize"], rng)[1]


def check(name, read):
    """read(stored, module, outputs, inputs) -> the module's weight as [inputs, outputs]."""
    real = stood_for(name)
    stored = safetensors.torch.load_file(generate_models.ROOT / name / "model.safetensors")
    modules = [key[: -len(".qweight")] for key in stored if key.endswith(".qweight")]
    for module in modules:
        weight = real[module + ".weight"].float()
        error = (read(stored, module, *weight.shape).float().T - weight).abs().max()
        if error > ROUNDING * weight.abs().max():
            raise SystemExit(f"{name}: {module} is read otherwise: off by {error}")
    print(f"{name}: {len(modules)} matrices are read alike")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("auto_gptq", type=Path)
    parser.add_argument("awq", type=Path)
    args = parser.parse_args()

    packing = module_of(args.awq / "awq/utils/packing_utils.py")
    check(
        "qwen2-awq",
        lambda stored, module, *_: packing.dequantize_gemm(
            *(stored[f"{module}.{kind}"] for kind in ("qweight", "qzeros", "scales")), 4, 32
        ),
    )

    package = types.ModuleType("auto_gptq")  # without running its own imports
    package.__path__ = [str(args.auto_gptq / "auto_gptq")]
    sys.modules["auto_gptq"] = package
    layers = module_of(args.auto_gptq / "auto_gptq/nn_modules/qlinear/qlinear_cuda.py")

    def read_gptq(stored, module, outputs, inputs):
        layer = layers.QuantLinear(4, 32, inputs, outputs, False, weight_dtype=torch.float16)
        for kind in ("qweight", "qzeros", "scales", "g_idx"):
            setattr(layer, kind, stored[f"{module}.{kind}"])
        return layer(torch.eye(inputs).half())

    check("qwen2-gptq-int4", read_gptq)
    check("llama-gptq-act-order", read_gptq)


if __name__ == "__main__":
    sys.exit(main())
