"""Options that the settings of several commands have, those that run models. No torch here."""

from hedgespec.options import Option

TEMPERATURE = Option("sampling temperature; 0 is greedy", "T")
TOP_P = Option("top-p of sampling; 1 is off", "P")
TOP_K = Option("top-k of sampling; 0 is off", "N")
TARGET = Option("Hugging Face id, folder or .gguf file; the default is downloaded, 93 MB", "MODEL")
DRAFTERS = Option(
    "a drafter; repeat for each (default: four early exits, prompt-lookup and ngram)",
    "SPEC",
    "drafter",
    repeated=True,
)
DEVICE = Option("where to run (default: cuda if there is one)", choices=("auto", "cpu", "cuda"))
SPLIT = "split"  # a device that is all GPUs
# Of what also works with a target whose layers lie on several GPUs (models/split.py).
DEVICES = Option(
    "where to run (default: cuda if there is one); split spreads a target too large "
    "for one GPU over all",
    choices=(*(DEVICE.choices or ()), SPLIT),
)
DTYPE = Option(
    "number type of the models (default: bfloat16 on cuda, float32 on a CPU)",
    choices=("auto", "float32", "bfloat16", "float16"),
)
COMPILE_COSTS = Option(
    "on a GPU, measure the costs of decoding with torch.compile, as "
    "`hedgespec live --compile` decodes; takes a minute or two more",
    name="compile",
)
COMPILE = Option(
    "compile the models' kernels with torch.compile, on fixed tensors: rounds are "
    "faster after a minute or more of compiling",
    name="compile",
)
