"""What the jobs need of PyFlink: environment, types, Kafka ends, shards and one thin operator per stage."""
