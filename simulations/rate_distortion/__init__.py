"""`narrows bench rd`: accuracy, bytes and device time of bottlenecks and codecs, one accounting."""
