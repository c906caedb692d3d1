"""Ranking: the least of many items whose values grow on their own.

A heap whose entries are brought up to date only when they come to the top. That suffices because a value that has grown
makes its entry too low, never too high: the entry surfaces early, is corrected, and sinks.
"""

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any, Generic, TypeVar

ItemT = TypeVar("ItemT")


class Ranking(Generic[ItemT]):
    """Items by ``value``, least first; equals by when they were put. Every call costs O(log n), amortised.

    A value may grow at any time. When one has fallen, ``put`` the item again.
    """

    def __init__(self, value: Callable[[ItemT], Any]) -> None:
        self._value = value
        self._heap: list[tuple[Any, int, ItemT]] = []
        self._entry: dict[ItemT, int] = {}  # item -> number of its one valid entry
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._entry)

    def put(self, item: ItemT) -> None:
        """Add an item, or say that its value has fallen."""
        if len(self._heap) > 2 * len(self._entry) + 64:
            self._heap = [entry for entry in self._heap if self._entry.get(entry[2]) == entry[1]]
            heapq.heapify(self._heap)
        number = self._entry[item] = next(self._numbers)
        heapq.heappush(self._heap, (self._value(item), number, item))

    def drop(self, item: ItemT) -> None:
        """Remove an item; one that is not here is no error."""
        self._entry.pop(item, None)

    def first(self) -> ItemT | None:
        """The item with the least value."""
        heap = self._heap
        while heap:
            value, number, item = heap[0]
            if self._entry.get(item) != number:
                heapq.heappop(heap)
            elif (present := self._value(item)) != value:
                heapq.heapreplace(heap, (present, number, item))
            else:
                return item
        return None

    def least(self, most: int, up_to: Any = None) -> list[ItemT]:
        """Up to ``most`` items, least first; of values up to ``up_to``, if given."""
        if most == 1 and up_to is None:
            first = self.first()
            return [] if first is None else [first]
        entries: list[tuple[Any, int, ItemT]] = []
        while len(entries) < most and self.first() is not None:
            if up_to is not None and self._heap[0][0] > up_to:
                break
            entries.append(heapq.heappop(self._heap))
        for entry in entries:
            heapq.heappush(self._heap, entry)
        return [item for _, _, item in entries]
