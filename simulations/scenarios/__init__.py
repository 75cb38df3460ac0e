"""Many devices as data: what they are, how they are linked, what fails when; and how it is run."""
