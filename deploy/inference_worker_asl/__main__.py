"""`python -m inference_worker_asl`, in deploy/: write the state machine anew.

With `--policy FILE`, JSON of knobs of docs/breaker.md, for a fleet that has others; to stdout.
"""

import argparse
import json
import sys
from pathlib import Path

from inference_worker_asl.machine import FILE, POLICY, machine, written


def main() -> None:
    """Write the committed file, or one for a policy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policy", type=Path, help="knobs that differ from the defaults")
    chosen = parser.parse_args().policy
    if chosen is None:
        FILE.write_text(written(machine()), encoding="utf-8")
        return
    knobs = json.loads(chosen.read_text(encoding="utf-8"))
    sys.stdout.write(written(machine(POLICY.changed(knobs))))


if __name__ == "__main__":
    main()
