"""Names in the settings of a Sparkplug connection, which become topics and rows of a broker's files."""

from __future__ import annotations

import pytest

from connectors.sparkplug.settings import SparkplugSettings


@pytest.mark.parametrize("key", ["group_id", "host_id"])
@pytest.mark.parametrize("name", ["a\nb", "a\x00", "a\u2028b", " a", "a ", "a/b", "+"])
def test_a_name_is_one_line_of_a_topic(key: str, name: str) -> None:
    with pytest.raises(ValueError, match=rf"{key} is .* no place in it"):
        SparkplugSettings(**{"endpoint": "mqtt://broker", key: name})  # type: ignore[arg-type]


def test_a_group_may_have_words() -> None:
    assert SparkplugSettings(endpoint="mqtt://broker", group_id="My MQTT Group").group_id == "My MQTT Group"
