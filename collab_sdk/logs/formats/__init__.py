"""The formats that logs come in: one file for each, or for a few that are alike."""
