"""What the device does with each frame: which operating point, a picture, or its own answer.

exit (its own answer) + estimator (the link) + menu (what there is) -> policy -> a decision. Numpy
alone: the same code runs on a device and in the virtual time of simulations/links/race.py.
"""
