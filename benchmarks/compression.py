"""Size of a trace's tokens, and the time to write and to read them, at levels of zstd.

    python -m benchmarks.compression [TRACE ...]      folders or names of bundled traces

`hedgespec.traces.writer.LEVEL` was chosen by it; docs/scale.md has the numbers.
"""

import sys
from io import BytesIO
from time import perf_counter, process_time

import numpy as np
import polars as pl

from hedgespec.bundled import trace_folder
from hedgespec.traces import TraceReader

LEVELS = (1, 3, 6, 9, 12, 15, 19)


def main(names: list[str]) -> None:
    """A line for each level and trace."""
    for name in names or ["domain-mix-t0.7"]:
        reader = TraceReader(trace_folder(name))
        table = reader.tokens(np.arange(reader.manifest.queries))
        print(f"{name}: {len(table)} tokens, {len(table.columns)} columns")
        for level in LEVELS:
            file, started, spent = BytesIO(), perf_counter(), process_time()
            table.write_parquet(file, compression="zstd", compression_level=level, statistics=False)
            wall, cpu = perf_counter() - started, process_time() - spent
            started = perf_counter()
            pl.read_parquet(BytesIO(file.getvalue()))
            print(
                f"  level {level:2}: {file.tell() / 1e6:8.2f} MB, {wall:7.2f} s, "
                f"{cpu:7.2f} s of CPU; read in {perf_counter() - started:.2f} s"
            )


if __name__ == "__main__":
    main(sys.argv[1:])
