"""Options that the settings of several commands have, those that run models. No torch here."""

from hedgespec.options import Option

TARGET = Option("Hugging Face id, folder or .gguf file; the default one is fetched, 93 MB", "MODEL")
DEVICE = Option("default: cuda if there is one", choices=("auto", "cpu", "cuda"))
DTYPE = Option("default: bfloat16 on cuda, float32 on the CPU",
               choices=("auto", "float32", "bfloat16", "float16"))
COMPILE = Option("make the models' kernels with torch.compile, on fixed tensors: faster rounds, "
                 "after a minute or more of compiling", name="compile")
