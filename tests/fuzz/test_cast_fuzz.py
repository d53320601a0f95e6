from tests.fuzz.cast_fuzz import fuzz


def test_a_slice_of_damaged_recordings_neither_crashes_nor_acts() -> None:
    assert fuzz(3.0, 1) > 3
