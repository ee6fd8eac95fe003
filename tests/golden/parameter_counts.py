#!/usr/bin/env python3
"""Counts the parameters of tests/configs with the reference implementation, on the meta device.

    python3 tests/golden/parameter_counts.py > tests/configs/parameters.json

Ran with the versions named in its output. ChatGLM3 is code of its own in its checkpoint and Kimi-K2 is
DeepSeek-V3's classes; the first is left out here.
"""

import json
import pathlib
import sys

import torch
import transformers

CONFIGS = pathlib.Path(__file__).resolve().parent.parent / "configs"
STAND_INS = {"kimi_k2": "deepseek_v3"}
LEFT_OUT = {"chatglm"}


def count(config: dict) -> int:
    model_type = STAND_INS.get(config["model_type"], config["model_type"])
    values = {k: v for k, v in config.items() if k not in ("model_type", "quantization_config")}
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(
            transformers.AutoConfig.for_model(model_type, **values))
    # Routing biases are buffers in some families and parameters in others.
    biases = sum(b.numel() for name, b in model.named_buffers() if name.endswith("bias"))
    return sum(p.numel() for p in model.parameters()) + biases


def main() -> None:
    counts = {}
    for path in sorted(CONFIGS.glob("*.json")):
        if path.stem == "parameters":
            continue
        config = json.loads(path.read_text())
        if config["model_type"] in LEFT_OUT:
            continue
        counts[path.stem] = count(config)
        print(path.stem, counts[path.stem], file=sys.stderr)
    versions = {"transformers": transformers.__version__, "torch": torch.__version__}
    print(json.dumps({"versions": versions, "parameters": counts}, indent=2))


if __name__ == "__main__":
    main()
