"""The coordinator of a vertical session: relays shares, decodes sums, learns the top network."""
