"""Checkpoints that tests make for themselves."""

import json
import pathlib
import shutil
import struct
import tempfile

from harness import GOLDEN_MODELS, TEMP_DIR


def write_safetensors(path, tensors):
    """`tensors`: name -> (dtype, shape). All zeros, in a file that takes no room on disk."""
    widths = {"F32": 4, "F16": 2, "BF16": 2}
    header, offset = {}, 0
    for name, (dtype, shape) in tensors.items():
        size = widths[dtype]
        for dimension in shape:
            size *= dimension
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + offset)


def slow_model(layers=8, hidden=512, context=32768):
    """A model of zeros, so slow and with so long a context that it is never done while a test
    looks at it: some 67 MB to read for every token. Greedy, it says token 0 for ever."""
    vocab, inner, heads = 512, 4 * hidden, 8
    directory = pathlib.Path(tempfile.mkdtemp(prefix="slow-model-", dir=TEMP_DIR))
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
        "hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": 1, "vocab_size": vocab,
        "max_position_embeddings": context, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "tie_word_embeddings": True, "torch_dtype": "bfloat16", "eos_token_id": 511,
    }
    (directory / "config.json").write_text(json.dumps(config))
    tensors = {"model.embed_tokens.weight": ["BF16", [vocab, hidden]],
               "model.norm.weight": ["BF16", [hidden]]}
    for i in range(layers):
        shapes = {
            "input_layernorm": [hidden], "post_attention_layernorm": [hidden],
            "self_attn.q_proj": [hidden, hidden], "self_attn.o_proj": [hidden, hidden],
            "self_attn.k_proj": [hidden // heads, hidden],
            "self_attn.v_proj": [hidden // heads, hidden],
            "mlp.gate_proj": [inner, hidden], "mlp.up_proj": [inner, hidden],
            "mlp.down_proj": [hidden, inner],
        }
        for name, shape in shapes.items():
            tensors[f"model.layers.{i}.{name}.weight"] = ["BF16", shape]
    write_safetensors(directory / "model.safetensors", tensors)
    return directory


def copy_of(name):
    """A golden model to be broken."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}-", dir=TEMP_DIR)) / name
    return pathlib.Path(shutil.copytree(GOLDEN_MODELS / name, directory))


def edit_json(path, **changes):
    """Sets keys; None removes one."""
    data = json.loads(path.read_text())
    for key, value in changes.items():
        if value is None:
            data.pop(key, None)
        else:
            data[key] = value
    path.write_text(json.dumps(data))


def edit_header(path, edit):
    """Rewrites a safetensors header through `edit(header)`, leaving the bytes after it."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + size])
    edit(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size:])
