"""What a recording is made of. No torch here: the command line takes its defaults from it."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RecordSettings:
    """Everything that shapes a recording.

    `target` is a model as `load_model` reads it, `drafters` are specifications as `make_drafters`
    reads them, by default `default_drafters`. `out` is the folder of the trace that is called
    `name`. At most `per_domain` questions of each domain of the file `prompts` are answered,
    `batch_size` at a time, each with at most `max_new_tokens` tokens; None of these are all, and
    256 on a GPU, 8 on a CPU. `draft_length` is what a replay of the trace takes if it is not told.
    `rules` and `trees` have their statistics recorded too. `precision` is compact or full, `costs`
    measures seconds of the models first, and `resume` goes on with an interrupted recording.
    """

    target: str
    prompts: Path
    out: Path
    name: str
    drafters: tuple[str, ...] = ()
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    max_new_tokens: int = 512
    draft_length: int = 5
    per_domain: int | None = None
    batch_size: int | None = None
    device: str = "cpu"
    dtype: str = "float32"
    precision: str = "compact"
    costs: bool = True
    resume: bool = False
    rules: tuple[str, ...] = ()
    trees: tuple[str, ...] = ()


@dataclass
class RecordingProgress:
    """What a recording reports: queries and tokens done, and what it is doing."""

    queries_total: int = 0
    queries_done: int = 0
    tokens: int = 0
    tokens_resumed: int = 0
    phase: str = "loading models"
