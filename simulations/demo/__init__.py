"""The demonstration: a server on Ray, two devices, real photographs, one table."""
