"""The embedded stack: queues, tables, objects and models on one loopback port."""
