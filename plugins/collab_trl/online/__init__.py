"""Training on what the model says while it is trained: its own replies, scored by how conversations with it go on."""
