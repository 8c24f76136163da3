"""The running average of a model's weights: steadier than the weights of any one batch."""

from __future__ import annotations

from typing import Any

from kwspot.train.backend import keras, tensorflow

ops = keras.ops


class Average:
    """Exponential moving average of all weights of a model, batch by batch.

    ``average = d · average + (1 - d) · weight`` with ``d = min(decay, (1 + n) / (10 + n))``
    after ``n`` batches, so that it does not cling to the start. The running
    statistics of batch normalisation are averaged alike, for those at hand
    belong to the weights at hand.

    Keras's own (``use_ema``) leaves the statistics as they are and starts with the first weights.

    `variables` are part of a training's state.
    """

    def __init__(self, model: Any, decay: float) -> None:
        self._weights = list(model.weights)
        self._decay, self._batches = decay, model.optimizer.iterations
        self.variables = [keras.Variable(ops.convert_to_numpy(w), trainable=False) for w in self._weights]
        self._update = tensorflow.function(self._take, reduce_retracing=True)

    def take(self) -> None:
        """One batch has been trained on."""
        self._update()

    def _take(self) -> None:
        n = ops.cast(self._batches, "float32")
        decay = ops.minimum(self._decay, (1 + n) / (10 + n))
        for average, weight in zip(self.variables, self._weights, strict=True):
            average.assign(decay * average + (1 - decay) * weight)

    def weights(self) -> list[Any]:
        """As ``model.get_weights()`` gives the model's own."""
        return [ops.convert_to_numpy(v).copy() for v in self.variables]
