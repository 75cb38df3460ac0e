"""Split fine-tuning with prompts: the large body stays on the server, devices train what is small.

`network` cuts a network in three and says what is learned; `coding` is how activations, outputs and
gradients travel; `local` is a device's arithmetic and `memory` what it keeps; `device` and
`strategy` carry it over Flower's Message API, `messages` is what they tell each other.
docs/federated.md says what it costs and what is protected from whom.

Cao, Zhu and Gong, "SFPrompt" (arXiv:2407.17533).
"""
