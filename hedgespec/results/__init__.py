"""Result tables: their schema, labels, statistics, and the log of live runs."""
