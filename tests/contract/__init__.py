"""Contract tests: schemas, codec, golden messages and the documents that describe them. Pure and fast."""
