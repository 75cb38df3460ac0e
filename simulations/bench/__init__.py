"""`narrows bench`: our parts beside their peers, in one process, interleaved."""
