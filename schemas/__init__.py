"""The contract: Avro schemas, codec, topic table, domain types, settings. Imports nothing else of Millrace."""
