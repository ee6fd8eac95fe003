"""What PyTorch reaches on the same card in what card_bench measures."""

import argparse
import time

import torch


def seconds_of(run, seconds):
    def rounds(count):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(count):
            run()
        torch.cuda.synchronize()
        return time.perf_counter() - start

    rounds(1)
    count = max(1, min(10000, int(seconds / rounds(1))))
    return rounds(count) / count


def copy(seconds):
    source = torch.zeros(1 << 30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    took = seconds_of(lambda: target.copy_(source), seconds)
    print(f"{'copy of 1 GiB':44} {took * 1e6:9.1f} us  {2 * source.numel() / took / 1e9:7.1f} GB/s")


def product(outputs, inputs, dtype, rows, seconds):
    weights = torch.randn(outputs, inputs, device="cuda").to(dtype)
    count = max(1, (1 << 30) // (weights.numel() * weights.element_size()))
    matrices = [weights.clone() for _ in range(count)]  # none is in the cache when its turn comes
    x = torch.randn(rows, inputs, device="cuda").to(dtype)

    def run():
        for matrix in matrices:
            torch.nn.functional.linear(x, matrix)

    took = seconds_of(run, seconds) / count
    name = f"product {str(dtype)[6:]} {outputs} x {inputs}, {rows} row{'s' if rows > 1 else ''}"
    read = weights.numel() * weights.element_size()
    print(f"{name:44} {took * 1e6:9.1f} us  {read / took / 1e9:7.1f} GB/s  "
          f"{2 * rows * outputs * inputs / took / 1e12:8.2f} TFLOP/s")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.5)
    seconds = parser.parse_args().seconds
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}")
    copy(seconds)
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        for outputs, inputs in ((4096, 4096), (14336, 4096), (4096, 14336)):
            product(outputs, inputs, dtype, 1, seconds)
    for rows in (4, 16, 64, 256):
        product(14336, 4096, torch.bfloat16, rows, seconds)


if __name__ == "__main__":
    main()
