"""What transformers reaches with a checkpoint in what decoder_bench measures: tokens per second of
prompts and of generation, best of three."""

import argparse
import time

import torch
import transformers

DRAWN = 1000  # token ids are arbitrary, below this
STEPS = 8


def best_of_three(run, device):
    def once():
        start = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    once()
    return min(once() for _ in range(3))


def ids(sequences, tokens, device):
    return torch.arange(sequences * tokens, device=device).reshape(sequences, tokens) * 17 % DRAWN


def prompt(model, tokens, device):
    took = best_of_three(lambda: model(ids(1, tokens, device), use_cache=True, logits_to_keep=1), device)
    print(f"prompt {tokens:5}              {tokens / took:9.1f} tokens/s")


def generate(model, sequences, context, device):
    """Greedy steps of `sequences` after `context` tokens each."""
    cache = model(ids(sequences, context, device), use_cache=True, logits_to_keep=1).past_key_values

    def steps():
        token = ids(sequences, 1, device)
        for _ in range(STEPS):
            logits = model(token, past_key_values=cache, use_cache=True).logits
            token = logits[:, -1:].argmax(-1)

    took = best_of_three(steps, device) / STEPS
    print(f"generate {sequences:3} sequence(s)   {sequences / took:9.1f} tokens/s")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", metavar="MODEL_DIR")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    args = parser.parse_args()
    start = time.perf_counter()
    model = transformers.AutoModelForCausalLM.from_pretrained(args.model, torch_dtype=torch.bfloat16)
    model = model.to(args.device).eval()
    name = torch.cuda.get_device_name() if args.device == "cuda" else "CPU"
    print(f"{name}, transformers {transformers.__version__}, PyTorch {torch.__version__}, bf16")
    print(f"load {time.perf_counter() - start:.2f} s")
    with torch.inference_mode():
        for tokens in (512, 2048):
            prompt(model, tokens, args.device)
        for sequences in (1, 8, 64):
            generate(model, sequences, 64, args.device)


if __name__ == "__main__":
    main()
