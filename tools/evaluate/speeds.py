"""Line speeds as a command line names them."""

import numpy as np

from calibration.errors import CalibrationError


def speeds_of(text: str) -> list[float]:
    """``from:to:step`` or ``a,b,c`` in m/s. Raises CalibrationError."""
    try:
        if ":" not in text:
            values = [float(part) for part in text.split(",")]
        else:
            first, last, step = (float(part) for part in text.split(":"))
            if not step > 0:
                raise ValueError("the step must be above 0")
            values = [round(v, 6) for v in np.arange(first, last + step / 1000, step).tolist()]
    except ValueError as error:
        raise CalibrationError(
            f"--speeds: found '{text}' ({error}); expected from:to:step, such as 0.3:2.4:0.3"
        ) from None
    if not values or not all(0 < value <= 20 for value in values):
        raise CalibrationError(f"--speeds: found '{text}'; expected speeds above 0 and up to 20 m/s")
    return values
