"""What the server remembers, fed from Kafka: plant, last values, episodes, commands, liveness, and the streams that wait for news."""
