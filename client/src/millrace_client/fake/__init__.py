"""A plant in memory, for tests of programs that use the client: no server, no port, no waiting.

    plant = FakePlant()
    plant.define("acme/north/press/line1/cell1/press01/temperature", unit="Cel", value=71.2)
    with plant.client() as client:
        assert client.tag("acme/north/press/line1/cell1/press01/temperature").last.value == 71.2

It answers as the server does: the same conformance tests run against both.
"""

from millrace_client.fake.book import Control, Outcome
from millrace_client.fake.plant import FakePlant
from millrace_client.fake.work import Recipe

__all__ = ["Control", "FakePlant", "Outcome", "Recipe"]
