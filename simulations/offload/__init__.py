"""Device alone, picture uploaded, network split, or a policy: who is faster at equal accuracy."""
