"""Services in memory and a clock that jumps: the worker without AWS and without waiting."""
