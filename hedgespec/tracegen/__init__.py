"""Records traces: runs the target and all drafters once. Needs the `models` extra (torch)."""
