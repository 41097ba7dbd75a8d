"""The real ports: one AWS service per file. Never imports the runtime."""
