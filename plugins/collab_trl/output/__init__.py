"""A training's output folder: the run that works in it, and the adapter, card and curves that it leaves."""
