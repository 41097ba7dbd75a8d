"""The worker at work: it awaits, and asks the core what to do."""
