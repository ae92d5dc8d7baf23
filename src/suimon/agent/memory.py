"""What must be on disk before the switch is told: the view, the numbers in its flows, neighbours, who leads outside."""

from collections.abc import Mapping

from suimon.agent.held_view import Changes, View
from suimon.agent.neighbours import Hop
from suimon.agent.number_log import NumberLog
from suimon.agent.saved import KnownGateway, KnownNeighbour, StateDirectory
from suimon.agent.view_log import ViewLog
from suimon.pipeline.numbers import Numbers


class Memory:
    """Writes only what is new. Every method that writes raises OSError and can be called again."""

    def __init__(self, state: StateDirectory) -> None:
        self._state = state
        self._log = ViewLog(state.view)
        self._unwritten: list[Changes] = []
        self._numbers = NumberLog(state.numbers)
        self._neighbours_written: dict[Hop, str] = {}
        self._gateways_written: tuple[KnownGateway, ...] = ()

    def load_view(self) -> View:
        return self._log.load()

    def load_numbers(self) -> Numbers:
        """Without numbers that can be trusted all flows are made anew, and tracked connections start over."""
        return self._numbers.load()

    def load_neighbours(self) -> dict[Hop, str]:
        found = self._state.neighbours.load() or ()
        self._neighbours_written = {(each.network_id, each.ip): each.mac for each in found}
        return dict(self._neighbours_written)

    def note(self, changes: Changes) -> None:
        """To be written with the next `write`."""
        self._unwritten.append(changes)

    def write(self, view: View, numbers: Numbers) -> None:
        """The noted changes, which led to `view`, and `numbers` if new ones were given out.

        Numbers don't wait for the disk: after a power cut the switch is as empty as the file may be.
        """
        if self._unwritten:
            self._log.write(self._unwritten, view)
            self._unwritten = []
        self._numbers.write(numbers)

    def write_neighbours(self, known: Mapping[Hop, str]) -> None:
        if known != self._neighbours_written:
            saved = tuple(KnownNeighbour(*hop, mac) for hop, mac in sorted(known.items()))
            self._state.neighbours.save(saved, durable=False)
            self._neighbours_written = dict(known)

    def load_gateways(self) -> tuple[KnownGateway, ...]:
        self._gateways_written = self._state.gateways.load() or ()
        return self._gateways_written

    def write_gateways(self, known: tuple[KnownGateway, ...]) -> None:
        if known != self._gateways_written:
            self._state.gateways.save(known, durable=False)
            self._gateways_written = known
