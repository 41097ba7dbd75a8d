"""`python -m worker` is `inference-worker`."""

from worker.cli import main

main()
