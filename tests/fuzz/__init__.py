"""`make fuzz`: random faults of every kind that users' files, learners and machines have.

A fuzzer is a function `trial(rng, folder)` that makes something broken and uses it: it returns
what came of it, in a word or two ("refused", "right"), and raises whatever is a finding. Each
stands in a file of its own and has a line in `run.FUZZERS`.
"""
