"""Target models, drafters, draft heads and trees. Needs the `models` extra (torch)."""
