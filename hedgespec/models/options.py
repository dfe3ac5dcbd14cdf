"""Options that the settings of several commands have, those that run models. No torch here."""

from hedgespec.options import Option

TEMPERATURE = Option("0 is greedy", "T")
TOP_P = Option("1 is off", "P")
TOP_K = Option("0 is off", "N")
TARGET = Option("Hugging Face id, folder or .gguf file; the default one is fetched, 93 MB", "MODEL")
DRAFTERS = Option("repeat for each; default: four early exits, prompt-lookup and ngram", "SPEC",
                  "drafter", repeated=True)
DEVICE = Option("default: cuda if there is one", choices=("auto", "cpu", "cuda"))
SPLIT = "split"  # a device that is all GPUs
# Of what also works with a target whose layers lie on several GPUs (models/split.py).
DEVICES = Option("default: cuda if there is one; split: the target's layers on all GPUs, for one "
                 "too large for any", choices=(*(DEVICE.choices or ()), SPLIT))
DTYPE = Option("default: bfloat16 on cuda, float32 on the CPU",
               choices=("auto", "float32", "bfloat16", "float16"))
COMPILE_COSTS = Option("measure the costs of decoding with kernels made by torch.compile, as "
                       "`hedgespec live --compile` decodes, on a GPU; a minute or two more",
                       name="compile")
COMPILE = Option("make the models' kernels with torch.compile, on fixed tensors: faster rounds, "
                 "after a minute or more of compiling", name="compile")
