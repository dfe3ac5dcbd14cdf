"""hedgespec: choose a drafter-selection policy for speculative decoding.

Record the acceptance statistics of real models once (`hedgespec.tracegen`), replay them for
ever (`hedgespec.simulator`) with any learner (`hedgespec.selectors`).
"""

__version__ = "0.1.0"
