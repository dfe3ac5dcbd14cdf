"""CUDA graphs, and results that reach the host while the device goes on."""

from collections.abc import Callable

import torch


class Captured:
    """Work on fixed tensors. On a GPU its first call runs it, the second one captures it as a CUDA
    graph, and from then on it is replayed; elsewhere it simply runs."""

    def __init__(self, work: Callable[[], object], device: torch.device, pool: object = None):
        """Graphs of one `pool` share memory: no two of them may run at a time. `called` says
        whether it ran before."""
        self._work, self._pool = work, pool
        self._on_gpu, self.called = device.type == "cuda", False
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        """Run it."""
        if self._graph is None and self._on_gpu and self.called:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                self._work()
            self._graph = graph
        if self._graph is not None:
            self._graph.replay()
            return
        self._work()
        self.called = True


class Fetched:
    """A copy of a tensor on its way to the host."""

    def __init__(self, tensor: torch.Tensor):
        self._event: torch.cuda.Event | None = None
        if not tensor.is_cuda:
            self._host = tensor.clone()
            return
        self._host = tensor.to("cpu", non_blocking=True)
        self._event = torch.cuda.Event()
        self._event.record()

    def wait(self) -> torch.Tensor:
        """The copy, once it is there."""
        if self._event is not None:
            self._event.synchronize()
        return self._host
