"""Result tables: their schema, keys, labels, statistics and files, and the log of live runs."""
