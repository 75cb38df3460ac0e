"""`narrows measure`: what each way of having a frame answered costs, in time, bytes and energy."""
