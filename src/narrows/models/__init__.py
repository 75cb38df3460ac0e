"""Networks cut in two, and the bundle they travel in."""
