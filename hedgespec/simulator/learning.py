"""The array of settings that tells a replay kernel what to feed its learner with, and when."""

# Entries of the kernel's int64 array of settings.
(DRAFT_LENGTH, WINDOW, COPIES, DELAY, EVERY, BY_ROUND, ACTUAL, COMPLETE, CUT, CARRY) = range(10)
SETTINGS = 10
