"""inference-worker: takes jobs from SQS, calls Amazon Bedrock, stores each answer once."""
