"""A verdict for each sample; nothing is dropped."""
