"""Motion blur: what the belt moves during the exposure."""

ACCEPTABLE_PX = 1.0
"""More than this smears defects of that size; the engines were trained without."""


def blur_px(*, speed_m_per_s: float, exposure_us: float, mm_per_pixel: float) -> float:
    """Pixels that a part moves while the shutter is open: speed × time / pixel size."""
    return speed_m_per_s * exposure_us * 1e-3 / mm_per_pixel


def blur_text(*, speed_m_per_s: float, exposure_us: float | None, mm_per_pixel: float) -> str | None:
    """A sentence for ``edge check``; None where exposure or scale are not known."""
    if exposure_us is None or mm_per_pixel <= 0:
        return None
    blur = blur_px(speed_m_per_s=speed_m_per_s, exposure_us=exposure_us, mm_per_pixel=mm_per_pixel)
    text = f"{blur:.1f} px at {speed_m_per_s:g} m/s ({exposure_us:g} µs, {mm_per_pixel:g} mm per pixel)"
    if blur <= ACCEPTABLE_PX:
        return text
    limit_us = exposure_us * ACCEPTABLE_PX / blur
    mend = f"set camera.exposure_us to {limit_us:.0f} or less, with more light"
    return f"[yellow]{text}; expected at most {ACCEPTABLE_PX:g}: {mend}[/]"
