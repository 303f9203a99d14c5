"""A club that split, and who went with whom."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import nn
from ..data import TensorDataset
from ..draw import Drawing, draw
from ..mode import no_grad
from ..models import GCN
from ..nn import functional as F
from ..optim import Adam, Optimizer
from ..tensor import Tensor
from ..train import Epoch, Score
from .base import Painter, Recipe, Result, predict
from .digits import count_parameters

FRIENDS = {
    0: (1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 17, 19, 21, 31),
    1: (2, 3, 7, 13, 17, 19, 21, 30),
    2: (3, 7, 8, 9, 13, 27, 28, 32),
    3: (7, 12, 13),
    4: (6, 10),
    5: (6, 10, 16),
    6: (16,),
    8: (30, 32, 33),
    9: (33,),
    13: (33,),
    14: (32, 33),
    15: (32, 33),
    18: (32, 33),
    19: (33,),
    20: (32, 33),
    22: (32, 33),
    23: (25, 27, 29, 32, 33),
    24: (25, 27, 31),
    25: (31,),
    26: (29, 33),
    27: (33,),
    28: (31, 33),
    29: (32, 33),
    30: (32, 33),
    31: (32, 33),
    32: (33,),
}
"""Who of the 34 members met whom outside the club, each pair once. (Zachary, 1977, figure 3, counted from 0)"""
EDGES = [(one, other) for one, others in FRIENDS.items() for other in others]
INSTRUCTOR, OFFICER, MEMBERS = 0, 33, 34
WITH_INSTRUCTOR = frozenset((0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 16, 17, 19, 21))
"""Who went with the instructor when the club split. (Zachary, 1977, table 3)"""


def karate_club() -> tuple[np.ndarray, np.ndarray]:
    """Zachary's karate club: adjacency (34, 34), and the party of each member, 1 for the instructor's.

    >>> adjacency, parties = karate_club()
    >>> int(adjacency.sum()) // 2, int(parties.sum())
    (78, 17)
    """
    adjacency = np.zeros((MEMBERS, MEMBERS), np.float32)
    for one, other in EDGES:
        adjacency[one, other] = adjacency[other, one] = 1
    return adjacency, np.array([member in WITH_INSTRUCTOR for member in range(MEMBERS)], np.int64)


class Club(nn.Module):
    """A graph convolutional network with the club's graph built in."""

    def __init__(self, adjacency: np.ndarray) -> None:
        self.gcn = GCN(MEMBERS, 2, hidden_features=16, dropout=0.3)
        self.graph = nn.Buffer(F.normalize_adjacency(adjacency))

    def forward(self, features: Tensor) -> Tensor:
        """``(N, 34, features)`` to logits ``(N, 34, 2)``."""
        logits: Tensor = self.gcn(features, self.graph)
        return logits


class Karate(Recipe):
    """Two members' parties are known; those of the others follow from who meets whom. (Kipf and Welling, 2017)"""

    name = "karate"
    text = "a graph convolution tells who goes with whom when a club splits"
    data = "Zachary's karate club: 34 members, 78 friendships, and the parties of its two leaders"
    epochs = 60
    batch_size = 1
    lr = 0.02
    lr_decay = 0.98
    known = (INSTRUCTOR, OFFICER)
    model: Club

    def __init__(self) -> None:
        adjacency, self.parties = karate_club()
        # Nothing is known of a member but who it is.
        sample = Tensor(np.eye(MEMBERS, dtype=np.float32)[None]), Tensor(self.parties[None])
        self.train_set = self.test_set = TensorDataset(*sample)
        self.others = [member for member in range(MEMBERS) if member not in self.known]
        self.adjacency = adjacency
        self.model = Club(adjacency)

    def make_optimizers(self, lr: float) -> dict[str, Optimizer]:
        return {"adam": Adam(self.model.parameters(), lr=lr, weight_decay=5e-4)}

    def step(self, *batch: Tensor) -> tuple[Tensor, Any]:
        """The loss is that of the two leaders alone."""
        self.optimizers["adam"].zero_grad()
        loss = _loss(self.model(batch[0]), batch[1], self.known)
        loss.backward()
        self.optimizers["adam"].step()
        return loss, None

    def test(self) -> Score:
        """Loss and accuracy of the 32 others."""
        self.model.eval()
        features, parties = (each.to(self.model.graph.device) for each in self.test_set.tensors)
        with no_grad():
            logits = self.model(features)
        share = self._accuracy(logits.numpy()[0].argmax(1)) / 100
        return Score(float(_loss(logits, parties, self.others).item()), share)

    def _accuracy(self, guesses: np.ndarray) -> float:
        return 100 * float((guesses == self.parties)[self.others].mean())

    def shares(self) -> np.ndarray:
        """How sure the network is that a member goes with the instructor, (34,)."""
        features = self.test_set.tensors[0].to(self.model.graph.device)
        return np.asarray(F.softmax(predict(self.model, features), -1).numpy()[0, :, 1])

    def measure(self) -> Result:
        guesses = self.shares() > 0.5
        value = self._accuracy(guesses)
        right = round(value * len(self.others) / 100)
        return Result(
            "members put into the right party", value, "%", f"{right} of {len(self.others)} whose party was not given",
            {
                "everybody with the instructor": self._accuracy(np.ones(MEMBERS)),
                "with the leader who is fewer friendships away (ties: the instructor)": self._accuracy(self.nearest()),
                "label propagation (Zhu and Ghahramani, 2002)": self._accuracy(self.propagated() > 0.5),
            },
            {"parameters": count_parameters(self.model)},
        )  # fmt: skip

    def nearest(self) -> np.ndarray:
        """Whether the way to the instructor is no longer than that to the officer."""
        away = np.full((MEMBERS, MEMBERS), MEMBERS)
        reached = np.eye(MEMBERS)
        for steps in range(MEMBERS):
            away = np.where((reached > 0) & (away > steps), steps, away)
            reached = np.minimum(1, reached + reached @ self.adjacency)
        return np.asarray(away[INSTRUCTOR] <= away[OFFICER])

    def propagated(self) -> np.ndarray:
        """Each member takes the mean of its friends' shares, the leaders keep theirs, until nothing changes."""
        shares = np.full(MEMBERS, 0.5)
        for _ in range(500):
            shares = self.adjacency @ shares / self.adjacency.sum(1)
            shares[INSTRUCTOR], shares[OFFICER] = 1.0, 0.0
        return shares

    def drawing(self) -> Drawing:
        return draw(self.model, (1, MEMBERS, MEMBERS))

    def pictures(self, epochs: list[Epoch]) -> dict[str, Painter]:
        from .. import pictures

        shares = self.shares()
        wrong = [member for member in self.others if (shares[member] > 0.5) != self.parties[member]]
        rings = {"party given in training": list(self.known), f"wrong party ({len(wrong)})": wrong}
        return super().pictures(epochs) | {
            "club.png": lambda path: pictures.draw_network(
                spring_layout(self.adjacency), EDGES, shares, path,
                "Zachary's karate club: who goes with the instructor (1) or the officer (34)", rings,
                "probability of the instructor's party",
            )
        }  # fmt: skip


def _loss(logits: Tensor, parties: Tensor, members: tuple[int, ...] | list[int]) -> Tensor:
    chosen = list(members)
    return F.cross_entropy(logits[:, chosen].transpose(1, 2), parties[:, chosen])


def spring_layout(adjacency: np.ndarray, steps: int = 300) -> np.ndarray:
    """Places (n, 2) for the nodes of a graph: all push each other away, edges pull. (Fruchterman and Reingold, 1991)

    >>> places = spring_layout(np.array([[0.0, 1.0], [1.0, 0.0]]))
    >>> round(float(np.linalg.norm(places[0] - places[1])), 2)
    0.71
    """
    count = len(adjacency)
    places = np.random.default_rng(0).uniform(-0.5, 0.5, (count, 2))
    length = np.sqrt(1 / count)
    for step in range(steps):
        apart = places[:, None] - places[None]
        distance = np.maximum(np.linalg.norm(apart, axis=-1, keepdims=True), 0.01)
        force = (apart * (length**2 / distance**2 - adjacency[..., None] * distance / length)).sum(1)
        size = np.maximum(np.linalg.norm(force, axis=-1, keepdims=True), 1e-9)
        places = places + force / size * np.minimum(size, 0.1 * (1 - step / steps))
    return np.asarray(places)
