"""What recording costs: 200 chained operations on a single number, forward and backward."""

from __future__ import annotations

from harness import Task, main


def tinygrad_cnn() -> Task:
    import tinygrad_cnn as tg

    def task() -> None:
        x = tg.Tensor(1.0, requires_grad=True)
        y = x
        for _ in range(100):
            y = y * 1.001
            y = y + 0.01
        y.backward()

    return task


def torch() -> Task:
    import torch

    torch.set_num_threads(2)

    def task() -> None:
        x = torch.tensor(1.0, requires_grad=True)
        y = x
        for _ in range(100):
            y = y * 1.001
            y = y + 0.01
        y.backward()

    return task


if __name__ == "__main__":
    main(
        "100 multiplications and 100 additions of a number, forward and backward",
        {"tinygrad_cnn": tinygrad_cnn, "torch": torch},
        baseline="torch",
        repeat=20,
    )
