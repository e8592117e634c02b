"""Live values to many readers: streams opened, values sent at their times, and when each reader has them."""
