from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge.errors import ConfigError, PlcError
from edge.plc.register_doc import markdown
from edge.plc.registers import BLOCKS, PLC, STATUS, VERDICT, decode, encode, signed_distance
from edge.plc.settings import ActuationConfig, PlcSettings


@st.composite
def block_values(draw):
    block = draw(st.sampled_from(BLOCKS))
    values = {r.name: draw(st.integers(0, (1 << 16 * r.words) - 1)) for r in block.registers}
    return block, values


@given(block_values(), st.sampled_from(["big", "little"]))
def test_values_survive_the_registers(block_and_values, order):
    block, values = block_and_values
    words = encode(block, values, order)
    assert len(words) == block.words
    assert all(0 <= word <= 0xFFFF for word in words)
    assert decode(block, words, order) == values


def test_addresses_of_the_map_are_what_plc_programs_were_written_for():
    assert {b.name: [(r.name, r.offset, r.words) for r in b.registers] for b in BLOCKS} == {
        "status": [
            ("protocol_version", 0, 1),
            ("heartbeat", 1, 1),
            ("heartbeat_period_ms", 2, 1),
            ("status_bits", 3, 1),
            ("fault_code", 4, 1),
            ("recipe_id", 5, 1),
            ("parts", 6, 2),
            ("passes", 8, 2),
            ("rejects", 10, 2),
            ("overruns", 12, 2),
            ("unconfirmed", 14, 2),
        ],
        "verdict": [
            ("sequence", 0, 2),
            ("encoder_count", 2, 2),
            ("verdict", 4, 1),
            ("class_id", 5, 1),
            ("confidence", 6, 1),
            ("reason", 7, 1),
            ("valid_until", 8, 2),
            ("latency", 10, 1),
            ("commit", 11, 1),
        ],
        "plc": [
            ("plc_heartbeat", 0, 1),
            ("state", 1, 1),
            ("mode", 2, 1),
            ("speed", 3, 1),
            ("encoder", 4, 2),
            ("last_sequence", 6, 2),
        ],
    }


def test_word_order():
    values = {r.name: 0 for r in PLC.registers} | {"encoder": 0x12345678}
    assert encode(PLC, values, "big")[4:6] == [0x1234, 0x5678]
    assert encode(PLC, values, "little")[4:6] == [0x5678, 0x1234]


def test_value_that_does_not_fit_is_refused():
    values = {r.name: 0 for r in VERDICT.registers}
    with pytest.raises(PlcError, match=r"verdict\.class_id is 70000: expected 0 to 65535"):
        encode(VERDICT, values | {"class_id": 70_000})
    del values["reason"]
    with pytest.raises(PlcError, match=r"verdict\.reason is None"):
        encode(VERDICT, values)
    with pytest.raises(PlcError, match="found 3 registers, expected 16"):
        decode(STATUS, [1, 2, 3])


@pytest.mark.parametrize(
    ("later", "earlier", "distance"),
    [(5, 3, 2), (3, 5, -2), (1, 0xFFFFFFFF, 2), (0xFFFFFFFF, 1, -2), (0, 0, 0)],
)
def test_distance_of_wrapping_counts(later, earlier, distance):
    assert signed_distance(later, earlier) == distance


def test_document_holds_the_map():
    text = (Path(__file__).parents[2] / "docs" / "plc.md").read_text(encoding="utf-8")
    begin, end = "<!-- register map: begin -->\n", "<!-- register map: end -->"
    assert text.partition(begin)[2].partition(end)[0].strip() == markdown().strip()


def test_blocks_that_overlap_are_refused():
    with pytest.raises(
        ValidationError, match="verdict_base is 10, inside the 16 registers from status_base 0"
    ):
        PlcSettings(verdict_base=10)
    with pytest.raises(ValidationError, match="after register 65535"):
        PlcSettings(plc_base=65530)
    assert PlcSettings(status_base=100, verdict_base=116, plc_base=0)


@pytest.mark.parametrize("text", ["{", '{"plc": {"prot": 5}}', '{"plc": {"port": "x"}}'])
def test_bad_configuration_names_the_file(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"config\.json"):
        ActuationConfig.load(path)
