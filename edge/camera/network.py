"""Settings of this machine that cost frames of a network camera, each with the command that mends it."""

import re
from collections.abc import Iterator

from edge.service.doctor.finding import Finding, bad, good, skipped
from edge.service.doctor.host import Host

CAP_NET_RAW = 13
_LOOPBACK, _ETHERNET = "lo", "1"


def camera_network(host: Host) -> Iterator[Finding]:
    """Packet socket, and per wired card: receive ring, power saving, interrupts."""
    yield _packet_socket(host)
    cards = [p.parent.name for p in host.glob("/sys/class/net/*/type") if p.read_text().strip() == _ETHERNET]
    wired = [c for c in cards if c != _LOOPBACK and host.path(f"/sys/class/net/{c}/device").exists()]
    if not wired:
        yield skipped("camera_card", "no wired network card")
    for card in wired:
        yield _ring(host, card)
        yield _power_saving(host, card)
        yield _interrupts(host, card)


def _packet_socket(host: Host) -> Finding:
    if host.has_capability(CAP_NET_RAW):
        return good("packet_socket", "permitted")
    mend = "AmbientCapabilities=CAP_NET_RAW in the line's systemd unit"
    return bad("packet_socket", "not permitted", "CAP_NET_RAW: it spares the kernel's UDP path", mend)


def _ring(host: Host, card: str) -> Finding:
    text = host.output("ethtool", "-g", card)
    sizes = [int(size) for size in re.findall(r"^RX:\s*(\d+)", text or "", re.MULTILINE)]
    if len(sizes) != 2:
        return skipped("camera_ring", f"{card}: ethtool does not tell (install it: apt-get install ethtool)")
    most, now = sizes
    if now >= most:
        return good("camera_ring", f"{card}: {now} descriptors")
    return bad("camera_ring", f"{card}: {now} descriptors", f"{most}", f"sudo ethtool -G {card} rx {most}")


def _power_saving(host: Host, card: str) -> Finding:
    text = host.output("ethtool", "--show-eee", card)
    if text is None:
        return skipped("camera_power_saving", f"{card}: ethtool does not tell")
    if "EEE status: enabled" not in text:
        return good("camera_power_saving", f"{card}: Energy-Efficient Ethernet is off")
    return bad(
        "camera_power_saving",
        f"{card}: Energy-Efficient Ethernet is on",
        "off: waking the link costs packets at the start of a frame",
        f"sudo ethtool --set-eee {card} eee off",
    )


def _interrupts(host: Host, card: str) -> Finding:
    """All on one processor that is not the first: the first has the rest of the machine's."""
    rows = (host.text("/proc/interrupts") or "").splitlines()
    numbers = [row.split(":")[0].strip() for row in rows if re.search(rf"\b{re.escape(card)}\b", row)]
    places = {host.text(f"/proc/irq/{number}/smp_affinity_list") for number in numbers} - {None}
    if not places:
        return skipped("camera_interrupts", f"{card}: the machine does not tell where they go")
    text = f"{card}: interrupts {', '.join(numbers)} on CPU {', '.join(sorted(str(p) for p in places))}"
    if places == {"0"}:
        first = numbers[0]
        mend = f"echo 1 | sudo tee /proc/irq/{first}/smp_affinity_list"
        return bad("camera_interrupts", text, "a CPU beside the first and beside the loop's", mend)
    return good("camera_interrupts", text)
