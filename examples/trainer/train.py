"""Trains a small model and keeps checkpoints in a folder. It knows nothing of Cairn but one optional command.

    cairn run --volume runs=./run -- python3 train.py ./run

Killed at any moment, it goes on from its newest checkpoint when it is started again.
"""

import argparse
import json
import os
import random
import shutil
import struct
import subprocess
import time
from pathlib import Path

FEATURES = 2000
SAMPLES = 64


def data():
    """The same noisy linear function each time."""
    chance = random.Random(1)
    truth = [chance.gauss(0, 1) for _ in range(FEATURES)]
    inputs = [[chance.gauss(0, 1) / FEATURES**0.5 for _ in range(FEATURES)] for _ in range(SAMPLES)]
    return inputs, [sum(w * x for w, x in zip(truth, row)) + chance.gauss(0, 0.1) for row in inputs]


def save(folder: Path, step: int, loss: float, weights: list):
    """Written aside and renamed, so that whoever looks sees a whole checkpoint or none."""
    aside = folder / f".checkpoint-{step}"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    (aside / "weights.bin").write_bytes(struct.pack(f"<{len(weights)}d", *weights))
    (aside / "state.json").write_text(json.dumps({"step": step, "loss": loss}))
    os.rename(aside, folder / f"checkpoint-{step}")


def newest(folder: Path):
    steps = sorted(int(path.name.split("-")[1]) for path in folder.glob("checkpoint-*"))
    if not steps:
        return 0, [0.0] * FEATURES
    packed = (folder / f"checkpoint-{steps[-1]}" / "weights.bin").read_bytes()
    return steps[-1], list(struct.unpack(f"<{FEATURES}d", packed))


def commit(folder: Path, step: int, loss: float):
    """A version with a name and numbers, at the moment of our choice. Without it, `cairn run` makes one every few seconds."""
    subprocess.run(["cairn", "commit", str(folder), "-m", f"step {step}", "--meta", f"step={step}", "--meta", f"loss={loss:.6f}"], check=True)


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("folder", type=Path)
    options.add_argument("--steps", type=int, default=60)
    options.add_argument("--every", type=int, default=10)
    options.add_argument("--keep", type=int, default=2, help="checkpoints that stay in the folder; all others are in the history")
    options.add_argument("--commit", action="store_true", help="name a version for each checkpoint")
    options.add_argument("--pause", type=float, default=0, help="seconds that a step takes longer, to have time to look")
    arguments = options.parse_args()

    inputs, targets = data()
    start, weights = newest(arguments.folder)
    print(f"starting at step {start}", flush=True)
    for step in range(start + 1, arguments.steps + 1):
        errors = [sum(w * x for w, x in zip(weights, row)) - y for row, y in zip(inputs, targets)]
        loss = sum(error * error for error in errors) / SAMPLES
        for row, error in zip(inputs, errors):
            weights = [w - 0.05 * error * x for w, x in zip(weights, row)]
        if step % arguments.every == 0:
            save(arguments.folder, step, loss, weights)
            for old in range(arguments.every, step - arguments.every * (arguments.keep - 1), arguments.every):
                shutil.rmtree(arguments.folder / f"checkpoint-{old}", ignore_errors=True)
            if arguments.commit:
                commit(arguments.folder, step, loss)
            print(f"step {step} loss {loss:.6f}", flush=True)
        time.sleep(arguments.pause)


if __name__ == "__main__":
    main()
