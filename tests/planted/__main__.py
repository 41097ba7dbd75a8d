"""Looks for the circuit's bugs from other seeds: `python -m tests.planted --runs 5`.

Each run plants every bug of the window, the breaker and the verdict, and lets their
models look for it with a seed of its own.
"""

import argparse
import sys
import time

from tests.planted import test_planted_breaker, test_planted_verdict
from tests.planted.harness import FAILED, runs


def main() -> int:
    """Print what each run found; 1 if it missed a bug, or if the core itself failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.planted", description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=1)
    asked = parser.parse_args()
    bugs = (*test_planted_breaker.BUGS, *test_planted_verdict.BUGS)
    failed = False
    for seed in range(asked.first_seed, asked.first_seed + asked.runs):
        began = time.monotonic()
        results = {name: one.result() for name, one in runs(bugs, seed).items()}
        honest = results.pop("")
        missed = [name for name, one in results.items() if one.returncode != FAILED]
        failed |= bool(missed) or honest.returncode != 0
        took_s = time.monotonic() - began
        sys.stdout.write(
            f"seed {seed}: {len(bugs) - len(missed)} of {len(bugs)} found in {took_s:.0f} s\n"
        )
        sys.stdout.writelines(f"    missed: {name}\n" for name in missed)
        if honest.returncode:
            sys.stdout.write(f"    without a bug: {honest.stdout}\n")
        sys.stdout.flush()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
