"""EAGLE heads: they draft from the target's hidden states and, deeper, from their own output."""

from pathlib import Path

import torch

from hedgespec.errors import HedgespecError
from hedgespec.tracegen.drafters.base import Drafter, ScoringBatch
from hedgespec.tracegen.eagle import EagleHead, load_head, unroll
from hedgespec.tracegen.models import LanguageModel, parameters_sha256

DEPTHS = 8


class Eagle(Drafter):
    """An EAGLE-1/2/3 head, recorded at draft depths 1 to 8."""

    kind = "eagle"
    usage = "eagle:FOLDER         an EAGLE-1/2/3 head for the target (config.json, safetensors)"
    depths = DEPTHS

    def __init__(self, name: str, identity: str, target: LanguageModel, argument: str):
        """`argument` is the head's folder. Raises HedgespecError if it does not fit the target."""
        super().__init__(name or Path(argument).name.lower(), identity)
        self._head: EagleHead = load_head(Path(argument), target.model.dtype).to(target.device)
        config = self._head.config
        found = (config.vocabulary_size, config.target_hidden_size or config.hidden_size)
        wanted = (target.vocabulary_size, target.hidden_size)
        if found != wanted:
            raise HedgespecError(
                f"drafter {identity}: made for a target of (vocabulary, width) {found}, this one "
                f"({target.id}) has {wanted}"
            )
        self._head.attach(target.model.get_input_embeddings(), target.model.get_output_embeddings())
        self.target_layers = config.fused_layers(target.layers)
        self.weights_sha256 = parameters_sha256(self._head.state_dict())

    def prepare(self, batch: ScoringBatch) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Output features of each depth at the batch's rows, each (M, H), and their places (M).

        The row of token t-1, which predicts token t, needs the head's output at place t-2: there
        it has read token t-1 beside the feature of token t-2.
        """
        head = self._head
        features = head.fuse([batch.states[layer] for layer in self.target_layers])
        following = torch.cat([batch.ids[:, 1:], batch.ids[:, -1:]], dim=1)
        outputs = unroll(head, head.embed(following), features, self.depths)
        before = (batch.rows - 1).clamp(min=0)
        return ([output.flatten(0, 1)[before] for output in outputs],
                batch.rows % batch.ids.shape[1] - 1)

    def logits(
        self, prepared: tuple[list[torch.Tensor], torch.Tensor], depth: int, rows: slice
    ) -> torch.Tensor:
        """The head's logits; no proposal where the round would start before the second token."""
        outputs, places = prepared
        absent = places[rows] < depth - 1
        return self._head.logits(outputs[depth - 1][rows]).masked_fill(absent[:, None], -torch.inf)
