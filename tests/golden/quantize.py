"""Quantized checkpoints as the quantizers of each method lay them out, from the formats' definitions.

A weight is scale * (q - zero), in groups of inputs. Rounding is to nearest: what is tested is reading,
not the quantizer's cleverness.
"""

import numpy as np
import torch

AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)


def round_to_groups(weight, bits, group, zeros, scale_dtype=torch.float16):
    """[outputs, inputs] f32 -> q int [outputs, inputs], scale f32 and zero int [outputs, groups]."""
    weight = weight.float().numpy()
    outputs, inputs = weight.shape
    group = inputs if group < 0 else group
    count = -(-inputs // group)
    q = np.zeros((outputs, inputs), np.int64)
    scale = np.zeros((outputs, count), np.float32)
    zero = np.full((outputs, count), 1 << (bits - 1), np.int64)
    most = (1 << bits) - 1
    for g in range(count):
        part = weight[:, g * group : (g + 1) * group]
        if zeros:
            low = np.minimum(part.min(1), np.float32(0))
            high = np.maximum(part.max(1), np.float32(0))
            s = (high - low) / np.float32(most)
        else:
            s = np.abs(part).max(1) / np.float32((1 << (bits - 1)) - 1)
        s = torch.from_numpy(s).to(scale_dtype).float().numpy()
        if zeros:
            zero[:, g] = np.clip(np.rint(-low / s), 0, most)
        least = 0 if zeros else 1  # symmetric: as far below the zero as above it
        q[:, g * group : (g + 1) * group] = np.clip(
            np.rint(part / s[:, None]) + zero[:, g : g + 1], least, most
        )
        scale[:, g] = s
    return q, scale, zero


def stand_for(q, scale, zero, groups):
    """The numbers that integers stand for; groups: of each input."""
    return torch.from_numpy(((q - zero[:, groups]).astype(np.float32) * scale[:, groups]))


def pack(values, bits, axis, order=None):
    """Integers into 32-bit words along `axis`, lowest bits first."""
    values = np.moveaxis(values, axis, -1).astype(np.uint64)
    per_word = 32 // bits
    values = values.reshape(*values.shape[:-1], -1, per_word)
    words = np.zeros(values.shape[:-1], np.uint64)
    for place in range(per_word):
        words |= values[..., order[place] if order else place] << np.uint64(place * bits)
    words = words.astype(np.uint32).view(np.int32)
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(words, -1, axis)))


def quantize_module(name, weight, spec, rng):
    """-> the checkpoint's tensors, and the weight they stand for."""
    bits, group, method = spec["bits"], spec["group"], spec["method"]
    inputs = weight.shape[1]
    size = inputs if group < 0 else group
    groups = np.arange(inputs) // size
    if spec.get("act_order"):
        groups = groups[rng.permutation(inputs)]
    # Group by group, as consecutive inputs.
    order = np.argsort(groups, kind="stable")
    scale_dtype = spec.get("scale_dtype", torch.float16)
    q, scale, zero = round_to_groups(weight[:, order], bits, group, spec["zeros"], scale_dtype)
    q = q[:, np.argsort(order)]
    real = stand_for(q, scale, zero, groups)
    stored_scale = torch.from_numpy(scale).to(scale_dtype)
    g_idx = torch.from_numpy(groups.astype(np.int32))
    if method == "gptq":
        less = 0 if spec.get("v2") else 1
        stored_zero = (zero - less) & ((1 << bits) - 1)
        tensors = {
            "qweight": pack(q.T, bits, 0),
            "qzeros": pack(stored_zero.T, bits, 1),
            "scales": stored_scale.T,
            "g_idx": g_idx,
        }
    elif method == "awq":
        tensors = {
            "qweight": pack(q.T, bits, 1, AWQ_ORDER),
            "qzeros": pack(zero.T, bits, 1, AWQ_ORDER),
            "scales": stored_scale.T,
        }
    else:
        tensors = {
            "weight_packed": pack(q, bits, 1),
            "weight_scale": stored_scale,
            "weight_shape": torch.tensor(weight.shape),
        }
        if spec["zeros"]:
            tensors["weight_zero_point"] = pack(zero, bits, 0)
        if spec.get("act_order"):
            tensors["weight_g_idx"] = g_idx
    return {f"{name}.{kind}": tensor.contiguous() for kind, tensor in tensors.items()}, real


def quantize(weights, spec, rng):
    """weights as stored -> (the quantized checkpoint's tensors, the weights they stand for)."""
    stored, real = {}, {}
    held = spec["method"] == "held"
    act_order = {}
    for name, tensor in weights.items():
        module, _, kind = name.rpartition(".")
        left = kind != "weight" or not module.endswith("_proj") or module in spec.get("left", ())
        if left:
            stored[name] = real[name] = tensor
        elif held:
            stored[name] = tensor
            q, scale, zero = round_to_groups(tensor, spec["bits"], 128, spec["bits"] == 4)
            real[name] = stand_for(q, scale, zero, np.arange(tensor.shape[1]) // 128)
        else:
            # What reads the same inputs is ordered alike, as by a quantizer that looks at them.
            fused = module.replace("k_proj", "q_proj").replace("v_proj", "q_proj")
            fused = fused.replace("up_proj", "gate_proj")
            seed = act_order.setdefault(fused, int(rng.integers(1 << 30)))
            tensors, real[name] = quantize_module(
                module, tensor, spec, np.random.default_rng(seed)
            )
            stored |= tensors
    return stored, real
