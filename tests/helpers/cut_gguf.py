"""A GGUF model's first layers as a model of its own, as early-exit:LAYER drafts; and in float32.

python -m tests.helpers.cut_gguf SOURCE.gguf OUT.gguf --layers 25
"""

import argparse
from pathlib import Path


def cut(source: Path, out: Path, layers: int | None = None) -> None:
    """Write the first `layers` (None: all) of a model, dequantised to float32."""
    import numpy as np
    from gguf import GGUFReader, GGUFValueType, GGUFWriter
    from gguf.quants import dequantize

    reader = GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    writer = GGUFWriter(out, architecture)
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key in ("general.architecture", "general.file_type"):
            continue
        value, kinds = field.contents(), field.types
        if key.endswith(".block_count") and layers is not None:
            value = layers
        sub_type = kinds[-1] if kinds[0] == GGUFValueType.ARRAY else None
        writer.add_key_value(key, value, kinds[0], sub_type)
    for tensor in reader.tensors:
        block = tensor.name.split(".")[1] if tensor.name.startswith("blk.") else "0"
        if layers is None or int(block) < layers:
            values = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
            writer.add_tensor(tensor.name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--layers", type=int)
    options = parser.parse_args()
    cut(options.source, options.out, options.layers)


if __name__ == "__main__":
    main()
