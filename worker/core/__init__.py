"""The rules: values in, values out. No await, no clock, no dice, no log."""
