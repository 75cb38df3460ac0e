"""Vertical training on one machine: data sets split over parties, waiting in virtual time, what it
leaks, and what it costs with a thousand parties."""
