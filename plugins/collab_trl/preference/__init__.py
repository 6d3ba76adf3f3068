"""Training on rows of preferences, replies or labels: SFT, DPO and KTO."""
