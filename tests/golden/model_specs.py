"""The tiny checkpoints of tests/golden/models: which quirk each one stands for.

A spec has:
  config    config.json as written to disk, in the form published checkpoints of that family have
  dtype     of the stored weights: f32, f16 or bf16
  lengths   of the prompts
  shards    number of safetensors files (more than one brings an index.json)
  ablations config changes that must change the logits: proof that the quirk is visible in the data
  extras    other peculiarities of published checkpoints, see generate_models.py
  quantize  how the layers' matrices are quantized, see quantize.py; method "held": the checkpoint is
            not, but a worker is told to hold its weights so
"""

import torch

LENGTHS = (1, 7, 41)
LONG_LENGTHS = (1, 7, 41, 100)


def _old_llama(**kwargs):
    """config.json as transformers 4 wrote it."""
    config = {
        "architectures": ["LlamaForCausalLM"],
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "max_position_embeddings": 512,
        "model_type": "llama",
        "pretraining_tp": 1,
        "rms_norm_eps": 1e-05,
        "rope_scaling": None,
        "tie_word_embeddings": False,
        "transformers_version": "4.31.0.dev0",
        "use_cache": True,
    }
    return {**config, **kwargs}


def _new_llama(**kwargs):
    """config.json as transformers 5 writes it."""
    config = {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "max_position_embeddings": 512,
        "mlp_bias": False,
        "model_type": "llama",
        "pad_token_id": None,
        "pretraining_tp": 1,
        "rms_norm_eps": 1e-05,
        "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
        "tie_word_embeddings": False,
        "transformers_version": "5.0.0",
        "use_cache": True,
    }
    return {**config, **kwargs}


def _old_qwen2(**kwargs):
    config = {
        "architectures": ["Qwen2ForCausalLM"],
        "attention_dropout": 0.0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "max_position_embeddings": 512,
        "max_window_layers": 1,
        "model_type": "qwen2",
        "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0,
        "sliding_window": 16,
        "tie_word_embeddings": False,
        "transformers_version": "4.37.2",
        "use_cache": True,
        "use_sliding_window": False,
    }
    return {**config, **kwargs}


def _new_qwen2(**kwargs):
    config = {
        "architectures": ["Qwen2ForCausalLM"],
        "attention_dropout": 0.0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "layer_types": ["full_attention"] * kwargs["num_hidden_layers"],
        "max_position_embeddings": 512,
        "max_window_layers": 2,
        "model_type": "qwen2",
        "pad_token_id": None,
        "rms_norm_eps": 1e-06,
        "rope_parameters": {"rope_theta": 1000000.0, "rope_type": "default"},
        "sliding_window": None,
        "tie_word_embeddings": False,
        "transformers_version": "5.0.0",
        "use_cache": True,
        "use_sliding_window": False,
    }
    return {**config, **kwargs}


def _new_qwen3(**kwargs):
    config = _new_qwen2(**kwargs)
    return {**config, "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "attention_bias": False}


def _old_mistral(**kwargs):
    config = _old_llama(rope_theta=1000000.0, **kwargs)
    del config["pretraining_tp"], config["rope_scaling"]
    return {**config, "architectures": ["MistralForCausalLM"], "model_type": "mistral"}


def _old_mixtral(**kwargs):
    config = _old_mistral(sliding_window=None, router_aux_loss_coef=0.02, **kwargs)
    return {**config, "architectures": ["MixtralForCausalLM"], "model_type": "mixtral"}


def _new_qwen3_moe(**kwargs):
    config = _new_qwen3(**{"decoder_sparse_step": 1, "mlp_only_layers": [], **kwargs})
    return {
        **config,
        "architectures": ["Qwen3MoeForCausalLM"],
        "model_type": "qwen3_moe",
        "router_aux_loss_coef": 0.001,
    }


def _gptq(bits, group, sym=True, desc_act=False, **kwargs):
    return {
        "quant_method": "gptq",
        "bits": bits,
        "group_size": group,
        "damp_percent": 0.01,
        "desc_act": desc_act,
        "sym": sym,
        "true_sequential": True,
        **kwargs,
    }


def _packed(bits, group, symmetric):
    return {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "ignore": ["lm_head"],
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "weights": {
                    "num_bits": bits,
                    "type": "int",
                    "symmetric": symmetric,
                    "strategy": "channel" if group < 0 else "group",
                    "group_size": None if group < 0 else group,
                },
            }
        },
    }


def _shape(vocab, hidden, intermediate, layers, heads, kv_heads=None, head_dim=None):
    shape = {
        "vocab_size": vocab,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
    }
    if kv_heads is not None:
        shape["num_key_value_heads"] = kv_heads
    if head_dim is not None:
        shape["head_dim"] = head_dim
    return shape


_LLAMA3_OLD = {
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
    "rope_type": "llama3",
}
_LLAMA3_NEW = {
    "factor": 32.0,
    "high_freq_factor": 4.0,
    "low_freq_factor": 1.0,
    "original_max_position_embeddings": 64,
    "rope_theta": 500000.0,
    "rope_type": "llama3",
}

SPECS = {
    # Grouped queries, untied, f32, transformers 4 form.
    "llama-gqa": dict(
        config=_old_llama(
            torch_dtype="float32", rope_theta=10000.0, **_shape(263, 40, 106, 3, 4, 2)
        ),
        dtype="f32",
        extras={"byte_tokenizer": True},
        ablations=[{"rope_theta": 20000.0}],
    ),
    # One key/value head, explicit head_dim that is not hidden/heads, tied, bf16, transformers 5 form.
    "llama-mqa-tied": dict(
        config=_new_llama(
            dtype="bfloat16", **{**_shape(331, 60, 106, 4, 6, 1, 18), "tie_word_embeddings": True}
        ),
        dtype="bf16",
        ablations=[],
    ),
    # As first Llama files are: no num_key_value_heads, rope_theta, torch_dtype or tie_word_embeddings
    # (the defaults stand), stored rotary inverse frequencies, a large epsilon; sharded f16.
    "llama-mha-sharded": dict(
        config={
            k: v
            for k, v in _old_llama(
                rms_norm_eps=1e-3, max_sequence_length=512, **_shape(277, 54, 90, 6, 3)
            ).items()
            if k not in ("tie_word_embeddings", "rope_scaling")
        },
        dtype="f16",
        shards=3,
        extras={"inv_freq": True},
        ablations=[{"rms_norm_eps": 1e-6}],
    ),
    # Smallest shapes: head_dim 10, two layers, odd vocabulary, larger per-head width than hidden/heads.
    "llama-head-dim-10": dict(
        config=_new_llama(dtype="float32", **_shape(149, 35, 61, 2, 5, 5, 10)),
        dtype="f32",
        ablations=[],
    ),
    # Biases in attention (o too) and mlp; norms stored as f32 in a bf16 file.
    "llama-bias": dict(
        config=_new_llama(
            dtype="bfloat16",
            **{**_shape(263, 48, 90, 3, 4, 2, 20), "attention_bias": True, "mlp_bias": True},
        ),
        dtype="bf16",
        extras={"f32_norms": True},
        ablations=[{"attention_bias": False}, {"mlp_bias": False}],
    ),
    # Llama 3.1 rope scaling, transformers 4 form, list of end tokens.
    "llama3-rope-old": dict(
        config=_old_llama(
            torch_dtype="bfloat16",
            rope_theta=500000.0,
            attention_bias=False,
            mlp_bias=False,
            **{
                **_shape(331, 64, 130, 3, 4, 2),
                "rope_scaling": _LLAMA3_OLD,
                "eos_token_id": [2, 3, 4],
            },
        ),
        dtype="bf16",
        lengths=LONG_LENGTHS,
        ablations=[
            {"rope_scaling": None},
            {"rope_scaling": {**_LLAMA3_OLD, "high_freq_factor": 2.0}},
        ],
    ),
    # Llama 3.2 rope scaling, transformers 5 form, tied, explicit head_dim.
    "llama3-rope-new": dict(
        config=_new_llama(
            dtype="bfloat16",
            **{
                **_shape(271, 48, 102, 4, 6, 3, 24),
                "rope_parameters": _LLAMA3_NEW,
                "tie_word_embeddings": True,
            },
        ),
        dtype="bf16",
        lengths=LONG_LENGTHS,
        extras={"stored_tied_head": True},
        ablations=[
            {"rope_parameters": {"rope_theta": 500000.0, "rope_type": "default"}},
            {"rope_parameters": {**_LLAMA3_NEW, "low_freq_factor": 2.0}},
        ],
    ),
    # Linear scaling in its first form ("type").
    "llama-rope-linear": dict(
        config=_old_llama(
            torch_dtype="float16",
            **{**_shape(263, 40, 86, 2, 4, 2), "rope_scaling": {"factor": 4.0, "type": "linear"}},
        ),
        dtype="f16",
        lengths=LONG_LENGTHS,
        ablations=[{"rope_scaling": None}],
    ),
    # Dynamic NTK scaling: no effect up to max_position_embeddings, so greedy ids stay below it; the last
    # prompt is beyond it and has prefill logits alone (decoding depends on how the cache came about).
    "llama-rope-dynamic": dict(
        config=_old_llama(
            torch_dtype="float16",
            **{
                **_shape(263, 40, 86, 2, 4, 2),
                "rope_scaling": {"factor": 2.0, "type": "dynamic"},
                "max_position_embeddings": 128,
            },
        ),
        dtype="f16",
        lengths=LENGTHS,
        prefill_only_length=180,
        ablations=[{"rope_scaling": None}],
    ),
    "llama-rope-yarn": dict(
        config=_new_llama(
            dtype="float16",
            **{
                **_shape(263, 48, 86, 2, 3, 1),
                "rope_parameters": {
                    "factor": 8.0,
                    "original_max_position_embeddings": 32,
                    "rope_theta": 10000.0,
                    "rope_type": "yarn",
                    "beta_fast": 16.0,
                    "beta_slow": 2.0,
                },
            },
        ),
        dtype="f16",
        lengths=LONG_LENGTHS,
        ablations=[{"rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"}}],
    ),
    # Qwen1.5 form: many heads, untied, sliding_window present but not used; f32.
    "qwen2-untied": dict(
        config=_old_qwen2(torch_dtype="float32", **_shape(281, 42, 110, 2, 3, 3)),
        dtype="f32",
        ablations=[{"use_sliding_window": True}],
    ),
    # Qwen2.5-0.5B form: grouped queries, tied, bf16, transformers 5 form.
    "qwen2-tied": dict(
        config=_new_qwen2(
            dtype="bfloat16", **{**_shape(263, 56, 150, 4, 7, 1), "tie_word_embeddings": True}
        ),
        dtype="bf16",
        extras={"byte_tokenizer": True},
        ablations=[],
    ),
    # Qwen2.5 larger sizes: grouped queries, untied, sharded bf16, yarn as its model card says.
    "qwen2-yarn-sharded": dict(
        config=_old_qwen2(
            torch_dtype="bfloat16",
            **{
                **_shape(307, 48, 124, 5, 6, 2),
                "rope_scaling": {
                    "factor": 4.0,
                    "original_max_position_embeddings": 32,
                    "type": "yarn",
                },
            },
        ),
        dtype="bf16",
        shards=2,
        lengths=LONG_LENGTHS,
        ablations=[{"rope_scaling": None}, {"use_sliding_window": True}],
    ),
    # f16, explicit head_dim (published under qwen2 by third parties), transformers 5 form.
    "qwen2-f16-head-dim": dict(
        config=_new_qwen2(dtype="float16", **_shape(263, 44, 94, 3, 4, 2, 20)),
        dtype="f16",
        ablations=[],
    ),
    # Qwen3 form: queries and keys normed by head, explicit head_dim, tied, bf16.
    "qwen3-tied": dict(
        config=_new_qwen3(
            dtype="bfloat16", **{**_shape(263, 52, 118, 4, 6, 2, 16), "tie_word_embeddings": True}
        ),
        dtype="bf16",
        ablations=[{"rms_norm_eps": 0.5}],
    ),
    # Mistral form from v0.2 on: no window, grouped queries, untied, bf16, transformers 4 form.
    "mistral-gqa": dict(
        config=_old_mistral(
            torch_dtype="bfloat16", sliding_window=None, **_shape(263, 40, 106, 3, 4, 2)
        ),
        dtype="bf16",
        ablations=[{"sliding_window": 16}],
    ),
    # Mixtral form: experts of a width that fills no panel, named w1 to w3; transformers 4 form.
    "mixtral": dict(
        config=_old_mixtral(
            torch_dtype="bfloat16",
            num_local_experts=6,
            num_experts_per_tok=2,
            **_shape(263, 40, 70, 3, 4, 2),
        ),
        dtype="bf16",
        ablations=[{"num_experts_per_tok": 1}],
    ),
    # Qwen3 30B-A3B form, the first layer dense; experts' weights made to add up to 1.
    "qwen3-moe": dict(
        config=_new_qwen3_moe(
            dtype="float16",
            num_experts=9,
            num_experts_per_tok=4,
            moe_intermediate_size=36,
            norm_topk_prob=True,
            **{**_shape(263, 44, 94, 4, 4, 2, 16), "mlp_only_layers": [0]},
        ),
        dtype="f16",
        ablations=[{"norm_topk_prob": False}, {"num_experts_per_tok": 3}],
    ),
    # Quantized experts, in every other layer; weights as the router's softmax has them.
    "qwen3-moe-gptq-int4": dict(
        config=_new_qwen3_moe(
            dtype="float16",
            num_experts=5,
            num_experts_per_tok=2,
            moe_intermediate_size=32,
            norm_topk_prob=False,
            quantization_config=_gptq(4, 32),
            **{**_shape(257, 64, 96, 2, 4, 2, 16), "decoder_sparse_step": 2},
        ),
        dtype="f16",
        quantize=dict(method="gptq", bits=4, group=32, zeros=False),
        ablations=[],
    ),
    # GPTQ as most published models have it: symmetric, groups in order.
    "qwen2-gptq-int4": dict(
        config=_old_qwen2(
            torch_dtype="float16",
            quantization_config=_gptq(4, 32),
            **_shape(263, 64, 96, 2, 4, 2, 16),
        ),
        dtype="f16",
        quantize=dict(method="gptq", bits=4, group=32, zeros=False),
        ablations=[],
    ),
    # Zero points, and groups in the order of activations.
    "llama-gptq-act-order": dict(
        config=_old_llama(
            torch_dtype="float16",
            quantization_config=_gptq(4, 32, sym=False, desc_act=True),
            **_shape(257, 64, 160, 2, 4, 1, 16),
        ),
        dtype="f16",
        quantize=dict(method="gptq", bits=4, group=32, zeros=True, act_order=True),
        ablations=[],
    ),
    # 8 bits, a scale per row, the second version's zeros.
    "llama-gptq-int8-v2": dict(
        config=_new_llama(
            dtype="bfloat16",
            quantization_config=_gptq(8, -1, checkpoint_format="gptq_v2"),
            **_shape(257, 48, 80, 2, 3, 3, 16),
        ),
        dtype="bf16",
        quantize=dict(method="gptq", bits=8, group=-1, zeros=False, v2=True),
        ablations=[],
    ),
    # AWQ, with one layer's matrix left as it is.
    "qwen2-awq": dict(
        config=_new_qwen2(
            dtype="float16",
            quantization_config={
                "quant_method": "awq",
                "bits": 4,
                "group_size": 32,
                "zero_point": True,
                "version": "gemm",
                "modules_to_not_convert": ["model.layers.1.mlp.down_proj"],
            },
            **_shape(263, 64, 96, 2, 4, 2, 16),
        ),
        dtype="f16",
        quantize=dict(
            method="awq", bits=4, group=32, zeros=True, left=["model.layers.1.mlp.down_proj"]
        ),
        ablations=[],
    ),
    # compressed-tensors: zero points, scales of bf16.
    "llama-packed-int4": dict(
        config=_new_llama(
            dtype="bfloat16",
            quantization_config=_packed(4, 32, symmetric=False),
            **_shape(257, 64, 96, 2, 4, 2, 16),
        ),
        dtype="bf16",
        quantize=dict(
            method="compressed-tensors", bits=4, group=32, zeros=True, scale_dtype=torch.bfloat16
        ),
        ablations=[],
    ),
    # And a scale per row, 8 bits.
    "llama-packed-int8": dict(
        config=_new_llama(
            dtype="bfloat16",
            quantization_config=_packed(8, -1, symmetric=True),
            **_shape(257, 48, 80, 2, 3, 1, 16),
        ),
        dtype="bf16",
        quantize=dict(
            method="compressed-tensors", bits=8, group=-1, zeros=False, scale_dtype=torch.bfloat16
        ),
        ablations=[],
    ),
    # What a worker makes of unquantized weights, with more inputs than a group has.
    "qwen2-held-int8": dict(
        config=_new_qwen2(
            dtype="bfloat16", **{**_shape(263, 136, 144, 2, 4, 1, 16), "tie_word_embeddings": True}
        ),
        dtype="bf16",
        quantize=dict(method="held", bits=8),
        ablations=[],
    ),
    "llama-held-int4": dict(
        config=_new_llama(dtype="float16", **_shape(257, 136, 144, 2, 4, 1, 16)),
        dtype="f16",
        quantize=dict(method="held", bits=4),
        ablations=[],
    ),
}
