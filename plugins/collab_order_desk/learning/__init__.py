"""A small language model that learns at the order desk when to ask: taught to speak here, trained by this project."""
