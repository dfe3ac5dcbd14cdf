"""Selectors that live decoding is tested with, and their settings."""

# NormalHedge under all that changes its feeding, and learners of each kind.
POLICIES: dict[str, dict[str, object]] = {
    "normalhedge": {},
    "hedge": {"feedback": "rounds:2"},
    "squint": {"loss": "accept"},
    "adahedge": {"feedback": "every:3"},
    "ftpl": {"feedback": "bold"},
    "uniform": {},
    "ucbspec": {},
    "exp3spec": {},
    "metasd-ucb": {},
    "thompson": {},
}
