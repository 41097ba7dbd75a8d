"""`inference-worker doctor`, by subject. `command.py` is the command, `exam.py` the examination."""
