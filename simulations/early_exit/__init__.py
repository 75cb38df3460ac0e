"""The device's own answer: fitted, calibrated, and held against the full network."""
