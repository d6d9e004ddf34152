"""The linear baseline of the surname classifier: multinomial logistic regression, in two readings of a name.

`positions`, as published: one-hot characters side by side, padded or cut to 18; `bag`: how often each character occurs.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from tuirnn.tasks.classify.data import Examples, LabelledData

LENGTH = 18
PENALTY = 1e-3
"""Of the squared weights, beside the mean loss."""


def positions(examples: Examples, vocab: int) -> Tensor:
    """Float32 [n, 18 · vocab]."""
    x = torch.zeros(len(examples), LENGTH, vocab)
    for row, ids in enumerate(examples.ids):
        x[row, torch.arange(min(LENGTH, len(ids))), torch.from_numpy(ids[:LENGTH])] = 1
    return x.flatten(1)


def bag(examples: Examples, vocab: int) -> Tensor:
    """Float32 [n, vocab]."""
    counts = [np.bincount(ids, minlength=vocab) for ids in examples.ids]
    return torch.from_numpy(np.array(counts, np.float32))


def accuracy(data: LabelledData, read: Callable[[Examples, int], Tensor]) -> float:
    """Share of the test split that the regression gets right after fitting the training split to convergence."""
    train, test = (read(examples, len(data.vocab)) for examples in (data.train, data.test))
    labels = torch.from_numpy(data.train.labels)
    weight = torch.zeros(data.outputs, train.shape[1], requires_grad=True)
    bias = torch.zeros(data.outputs, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        found = torch.nn.functional.cross_entropy(train @ weight.t() + bias, labels) + PENALTY * weight.square().sum()
        found.backward()  # type: ignore[no-untyped-call]
        return found

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    guesses = (test @ weight.t() + bias).argmax(1).numpy()
    return float((guesses == data.test.labels).mean())
