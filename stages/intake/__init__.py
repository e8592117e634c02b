"""What happens to a frame before its samples are looked at: identity, waiting, micro-batches, order by tag."""
