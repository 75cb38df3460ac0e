"""`narrows bench prompt`: split fine-tuning with prompts beside full federated fine-tuning."""
