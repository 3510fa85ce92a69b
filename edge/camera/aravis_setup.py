"""Finds, opens and sets up a camera through Aravis; every call may take seconds. Errors say what the camera has."""

import logging
from dataclasses import dataclass

from edge._core import AravisDevice, AravisFound, CoreError, load_aravis
from edge.camera.link import link_of, receive_limit
from edge.camera.settings import BYTES_PER_MIB, AravisSettings
from edge.errors import CameraError

log = logging.getLogger(__name__)

CHUNK = "ExposureTime"
_LOOK_AT = "Look at power, cable and address (the camera and its network interface must share a subnet)"
_AXES = (("Width", "width", "OffsetX", "x"), ("Height", "height", "OffsetY", "y"))


@dataclass(frozen=True)
class Place:
    """Where a camera was found: it is opened again without asking around."""

    name: str
    id: str
    seen: bool = True
    """It answered; an address is taken at its word."""
    interface_ip: str = ""
    device_ip: str = ""


def describe(found: AravisFound) -> str:
    """One line of a list."""
    return f"{found.vendor} {found.model}, serial {found.serial}, {found.protocol} at {found.address} ({found.id})"


def devices() -> list[dict[str, str]]:
    """Every camera on the network and on USB, by its names. Raises CameraError without Aravis."""
    try:
        load_aravis()
    except CoreError as error:
        raise CameraError(str(error)) from error
    return [
        {
            "id_": found.id,
            "serial_number": found.serial,
            "model": found.model,
            "vendor": found.vendor,
            "address": found.address,
            "protocol": found.protocol,
        }
        for found in AravisDevice.list()
        if found.protocol != "Fake"
    ]


def find(settings: AravisSettings) -> Place:
    """Raises CameraError: none, or more than one, is what the settings call it; lists what there is."""
    cameras = [found for found in AravisDevice.list() if found.protocol != "Fake"]
    wanted = settings.device
    fit = [c for c in cameras if wanted is None or wanted in (c.id, c.serial, c.address, c.model)]
    there = "; ".join(describe(camera) for camera in cameras) or "none"
    if len(fit) == 1:
        return Place(wanted or fit[0].id, fit[0].id)
    if fit:
        what = (
            "no camera.device and more than one camera"
            if wanted is None
            else f"two cameras called '{wanted}'"
        )
        raise CameraError(
            f"{what}; set camera.device to a serial number, IP address or id of one. Found: {there}"
        )
    if wanted is not None and wanted.count(".") == 3:
        return Place(wanted, wanted, seen=False)  # behind a router it answers nobody who asks around
    raise CameraError(
        f"{'no camera' if wanted is None else f'no camera called {wanted!r}'} answers. Found: {there}. {_LOOK_AT}"
    )


def reach(place: Place) -> None:
    """Raises CameraError: nobody is at the address. A camera that is in use is there."""
    if not place.seen:
        _opened(place).close()


def _opened(place: Place) -> AravisDevice:
    try:
        if place.device_ip:
            return AravisDevice.open_at(place.interface_ip, place.device_ip)
        return AravisDevice.open(place.id)
    except CoreError as error:
        raise CameraError(
            f"camera {place.name}: {error}. {_LOOK_AT}; 'edge camera list' tells which cameras answer"
        ) from error


def open_device(place: Place) -> AravisDevice:
    """Raises CameraError: it has gone, or somebody else controls it."""
    device = _opened(place)
    if not device.in_control:
        device.close()
        raise CameraError(
            f"camera {place.name} is in use: another program controls it (a viewer? another line?), or one that died "
            "held it; then the camera frees itself after about 3 s. End the other program and try again"
        )
    return device


def set_up(device: AravisDevice, settings: AravisSettings) -> None:
    """Region, format, exposure, gain, trigger, packets. Raises CameraError with what the camera would take."""
    try:
        _set_format(device, settings)
        _set_region(device, settings)
        _set_light(device, settings)
        _set_trigger(device, settings)
        if settings.chunks:
            _set_chunks(device)
        if device.is_gige:
            _set_packets(device, settings)
        _check_size(device, settings)
    except CoreError as error:
        raise CameraError(f"camera {settings.device or ''}: {error}") from error


def _set_format(device: AravisDevice, settings: AravisSettings) -> None:
    has = device.choices("PixelFormat")
    if settings.pixel_format not in has:
        raise CameraError(
            f"camera.pixel_format {settings.pixel_format}: the camera has {', '.join(has)}. Choose one of these that "
            "we take: Mono8, BayerRG8, BGR8, BGRa8"
        )
    device.set_text("PixelFormat", settings.pixel_format)


def _set_region(device: AravisDevice, settings: AravisSettings) -> None:
    region = settings.region
    if region is None:
        return
    for feature, field, offset, _ in _AXES:
        if device.has(offset):
            device.set_integer(offset, 0)
        lowest, highest, step = device.steps(feature)
        value = getattr(region, field)
        if not lowest <= value <= highest or (value - lowest) % step:
            nearest = max(lowest, min(highest, value - (value - lowest) % step))
            raise CameraError(
                f"camera.region.{field} {value}: the camera takes {lowest} to {highest} in steps of {step}; "
                f"set it to {nearest}"
            )
    device.set_region(0, 0, region.width, region.height)
    for _, _, feature, field in _AXES:
        value = getattr(region, field)
        if value == 0:
            continue
        lowest, highest, step = device.steps(feature)
        if not lowest <= value <= highest or (value - lowest) % step:
            raise CameraError(
                f"camera.region.{field} {value}: at this size the camera takes {lowest} to {highest} in steps of {step}"
            )
    device.set_region(region.x, region.y, region.width, region.height)


def _set_light(device: AravisDevice, settings: AravisSettings) -> None:
    for name, value, bounds, put in (
        ("exposure_us", settings.exposure_us, device.exposure_bounds_us, device.set_exposure_us),
        ("gain", settings.gain, device.gain_bounds, device.set_gain),
    ):
        if value is None:
            continue
        lowest, highest = bounds()
        if not lowest <= value <= highest:
            raise CameraError(f"camera.{name} {value:g}: the camera takes {lowest:g} to {highest:g}")
        put(value)


def _set_trigger(device: AravisDevice, settings: AravisSettings) -> None:
    if settings.trigger == "free":
        device.clear_trigger()
        if settings.frame_rate is not None:
            device.set_frame_rate(settings.frame_rate)
        return
    source = "Software" if settings.trigger == "software" else settings.trigger_source
    has = device.choices("TriggerSource")
    if source not in has:
        raise CameraError(f"camera.trigger_source {source}: the camera has {', '.join(has)}")
    device.set_trigger(source)


def _set_chunks(device: AravisDevice) -> None:
    has = device.choices("ChunkSelector") if device.has("ChunkSelector") else []
    if CHUNK not in has:
        raise CameraError(
            f"camera.chunks: the camera has no chunk {CHUNK} (it has: {', '.join(has) or 'none'}); set it to false"
        )
    device.set_chunks(CHUNK)


def _set_packets(device: AravisDevice, settings: AravisSettings) -> None:
    loopback = device.is_loopback
    device.use_packet_socket(settings.packet_socket and not loopback)  # there it gives no frames and no error
    device.set_packet_size(settings.packet_size)
    link = link_of(device.interface_ip)
    if link is not None:
        link.check(settings.packet_size, device.payload(), settings.frame_timeout_ms)
    limit, wanted = receive_limit(), round(settings.socket_buffer_mib * BYTES_PER_MIB)
    if limit is not None and limit < wanted:
        log.warning(
            "the system grants receive buffers of %d bytes, camera.socket_buffer_mib wants %d: frames will come "
            "incomplete. Run: sysctl -w net.core.rmem_max=%d",
            limit,
            wanted,
            wanted,
        )


def _check_size(device: AravisDevice, settings: AravisSettings) -> None:
    payload = device.payload()
    if payload > settings.slot_bytes:
        raise CameraError(
            f"the camera's frames have {payload / BYTES_PER_MIB:.2f} MiB, a slot has "
            f"{settings.slot_bytes / BYTES_PER_MIB:.2f}. Raise camera.max_frame_mib to "
            f"{-(-payload * 10 // BYTES_PER_MIB) / 10:.1f}, or read out a smaller camera.region"
        )
