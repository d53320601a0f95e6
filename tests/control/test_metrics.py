"""What lines of the audit become in numbers."""

from typing import Any

import pytest

from bastion.control.metrics import MORE, Metrics


def masked(metrics: Metrics) -> dict[str, float]:
    return {
        sample.labels["detector"]: sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "bastion_masked_secrets_total"
    }


@pytest.mark.parametrize(
    ("fields", "counted"),
    [
        ({"secrets": [{"detector": "jwt"}, {"detector": "jwt"}], "more": 3}, {"jwt": 2, MORE: 3}),
        ({"secrets": {"card": 40, "email": 1}, "stream": "database"}, {"card": 40, "email": 1}),
        ({"secrets": []}, {}),
    ],
)
def test_secrets_are_counted_however_a_line_tells_them(
    fields: dict[str, Any], counted: dict[str, float]
) -> None:
    """A database's line once ended its session: it counts where a stream's lists."""
    metrics = Metrics()
    metrics.audited("masked", fields)
    assert masked(metrics) == counted
