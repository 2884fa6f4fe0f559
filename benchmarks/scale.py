"""Data parallel on 1 to 64 machines, simulated: how long a step takes, and when the exchange of gradients eats the gain.

    python benchmarks/scale.py
    python benchmarks/scale.py --parameters 22e6 --compute 0.12 --update 0.01 --rows 32

A step of W machines is the slowest of W times to compute (log-normal, with `--variation` as its deviation relative to the
mean), then a ring: each machine sends 2 (W - 1) / W times the bytes of the gradients over its link, in 2 (W - 1) turns
with a latency each; then the update, which every machine computes whole. Nothing overlaps. Each machine keeps its
rows, so W machines do W times the work of one.
"""

import argparse

import numpy as np

MACHINES = (1, 2, 4, 8, 16, 32, 64)
# Bytes/s that arrive in practice, and seconds of one turn.
LINKS = {
    "1 Gbit/s": (0.11e9, 100e-6),
    "10 Gbit/s": (1.1e9, 50e-6),
    "100 Gbit/s": (9e9, 20e-6),
}
STEPS = 2000
BYTES = 4  # of a gradient: f32


def ring_seconds(machines: int, num_bytes: float, bytes_per_second: float, latency: float) -> float:
    """To sum so many bytes over so many machines."""
    turns = 2 * (machines - 1)
    return turns / machines * num_bytes / bytes_per_second + turns * latency


def step_seconds(machines: int, link: tuple[float, float], options: argparse.Namespace) -> float:
    """The mean over many steps."""
    sigma = np.sqrt(np.log1p(options.variation**2))
    draw = np.random.default_rng(machines)
    batches = draw.lognormal(-(sigma**2) / 2, sigma, (STEPS, machines, options.accumulation))
    slowest = options.compute * batches.sum(axis=2).max(axis=1).mean()
    return float(
        slowest + ring_seconds(machines, BYTES * options.parameters, *link) + options.update
    )


def main() -> None:
    """Print a table: rows a second and efficiency, by link and number of machines."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parameters", type=float, default=110e6, help="that are trained")
    parser.add_argument(
        "--compute",
        type=float,
        default=0.466,
        help="seconds of forward and backward pass of a batch",
    )
    parser.add_argument("--update", type=float, default=0.045, help="seconds of the optimizer")
    parser.add_argument("--rows", type=int, default=32, help="of a batch of one machine")
    parser.add_argument("--accumulation", type=int, default=1, help="batches of a step")
    parser.add_argument("--variation", type=float, default=0.1, help="of the time of a batch")
    options = parser.parse_args()
    rows = options.rows * options.accumulation
    print("| link | " + " | ".join(map(str, MACHINES)) + " |")
    print("|---|" + "--:|" * len(MACHINES))
    for name, link in LINKS.items():
        times = [step_seconds(machines, link, options) for machines in MACHINES]
        cells = [
            f"{machines * rows / seconds:,.0f} ({times[0] / seconds:.2f})"
            for machines, seconds in zip(MACHINES, times, strict=True)
        ]
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
