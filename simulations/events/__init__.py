"""A fleet in simulated time: SimPy events, with service times that were measured on a machine."""
