"""Plans as native code: each number of one example's program is a vector, with the same number of other examples."""

from __future__ import annotations

from .executor import NativePlan
from .lanes import NotLanesError

__all__ = ["NativePlan", "NotLanesError"]
