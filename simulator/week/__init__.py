"""A seeded week of one line of the example plant: what its machines sent, what people entered, and what truly happened.

`make` gives a `Week` that ends at a given moment. Its three sides are the samples (`samples`), the entries of the model of work
(`entries`), and the truth as events (states, cycles, shifts, batches): whoever asks the history a question can work out the answer from the
truth alone. The same seed, end and zone give the same week. Pure: no clock, no input or output.

In it: three shifts, one of them over midnight, in a zone with daylight saving; a cell with a calendar of its own; days that differ from the
calendar; breakdowns, short stops, breaks, changeovers, a spell of slow cycles, rejects with and without a reason, a controller that starts
its counter again, a sensor with bad quality, downtime words that were corrected and split, lots through two levels, batches with a golden
one, and anomaly episodes.
"""

from __future__ import annotations

from simulator.week.make import LINE, ZONE, make
from simulator.week.model import Week

__all__ = ["LINE", "ZONE", "Week", "make"]
