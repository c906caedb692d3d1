"""Contest: lines in which somebody waits, in the order in which they are served."""

from serve.turns.ranking import Ranking
from serve.turns.ticket import Line


class Contest:
    """Lines by who goes first.

    First those in which somebody has waited for too long, the longest wait before the others; then those whose key and,
    where keys are equal, whose adapter has been served least.
    """

    def __init__(self) -> None:
        self._by_age: Ranking[Line] = Ranking(lambda line: line.since)
        self._by_counter: Ranking[Line] = Ranking(lambda line: line.counters)
        self._by_length: Ranking[Line] = Ranking(lambda line: -line.waiting)

    def __len__(self) -> int:
        return len(self._by_age)

    def put(self, line: Line) -> None:
        """A line joins, or a ticket has joined it."""
        self._by_age.put(line)
        self._by_counter.put(line)
        self._by_length.put(line)

    def drop(self, line: Line) -> None:
        """A line leaves; one that is not here is no error."""
        self._by_age.drop(line)
        self._by_counter.drop(line)
        self._by_length.drop(line)

    def longest(self, most: int) -> list[Line]:
        """The ``most`` lines in which most requests wait, the longest first."""
        return self._by_length.least(most)

    def least(self, most: int, overdue: float) -> list[Line]:
        """The first ``most`` lines, in order; who has waited since ``overdue`` or before has waited for too long."""
        lines = self._by_age.least(most, up_to=overdue)
        if len(lines) < most:
            lines += [line for line in self._by_counter.least(most) if line not in lines][: most - len(lines)]
        return lines


def place(line: Line, overdue: float) -> tuple[float, ...]:
    """Where a line stands in that order: the lower, the sooner."""
    return (0, line.since) if line.waiting and line.since <= overdue else (1, *line.counters)
