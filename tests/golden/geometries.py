"""The geometries of some real models, without their weights. Needs nothing but Python."""

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
_QWEN3_MOE = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "attention_bias": False,
    "bos_token_id": 151643,
    "decoder_sparse_step": 1,
    "eos_token_id": 151645,
    "hidden_act": "silu",
    "mlp_only_layers": [],
    "norm_topk_prob": True,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "tie_word_embeddings": False,
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
    "qwen2.5-1.5b": {
        **_QWEN2,
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "max_position_embeddings": 131072,
        "max_window_layers": 28,
        "num_attention_heads": 12,
        "num_hidden_layers": 28,
        "num_key_value_heads": 2,
        "sliding_window": 131072,
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
    "qwen3-30b-a3b": {
        **_QWEN3_MOE,
        "head_dim": 128,
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "max_position_embeddings": 40960,
        "moe_intermediate_size": 768,
        "num_attention_heads": 32,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "num_hidden_layers": 48,
        "num_key_value_heads": 4,
        "vocab_size": 151936,
    },
    "tiny-moe-bench": {
        **_QWEN3_MOE,
        "head_dim": 64,
        "hidden_size": 768,
        "intermediate_size": 2048,
        "max_position_embeddings": 4096,
        "moe_intermediate_size": 384,
        "num_attention_heads": 12,
        "num_experts": 32,
        "num_experts_per_tok": 4,
        "num_hidden_layers": 12,
        "num_key_value_heads": 2,
        "vocab_size": 16384,
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
        if config["model_type"] == "qwen3_moe":
            for norm in ("q_norm", "k_norm"):
                yield f"{layer}self_attn.{norm}.weight", (head_dim,)
            yield layer + "mlp.gate.weight", (config["num_experts"], hidden)
            mlps = [f"mlp.experts.{e}." for e in range(config["num_experts"])]
            inter = config["moe_intermediate_size"]
        else:
            mlps = ["mlp."]
        for mlp in mlps:
            yield f"{layer}{mlp}gate_proj.weight", (inter, hidden)
            yield f"{layer}{mlp}up_proj.weight", (inter, hidden)
            yield f"{layer}{mlp}down_proj.weight", (hidden, inter)
    yield "model.norm.weight", (hidden,)
    if not config["tie_word_embeddings"]:
        yield "lm_head.weight", (config["vocab_size"], hidden)
