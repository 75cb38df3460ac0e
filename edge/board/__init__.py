"""The board that a device runs on: its service, and whether it is fit to serve."""
