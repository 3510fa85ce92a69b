"""Processor, clocks and what the kernel permits."""

import resource
from collections.abc import Iterator

from edge.service.doctor.finding import Finding, bad, good, skipped
from edge.service.doctor.host import Host
from edge.service.machine import CpuPlan

_FAST_CLOCKS = {"tsc", "arch_sys_counter", "kvm-clock", "hyperv_clocksource_tsc_page"}
_LOCKED_MIB = 512
"""Frames, region and engines of a line."""
_CAP_IPC_LOCK = 14
_MIB = 2**20


def clock_source(host: Host) -> Iterator[Finding]:
    """Every stage of every part is stamped: a clock that is read through a chip costs microseconds each time."""
    name = host.text("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    if name is None:
        yield skipped("clock_source", "the kernel does not say")
    elif name in _FAST_CLOCKS:
        yield good("clock_source", name)
    else:
        yield bad(
            "clock_source",
            name,
            f"one of {', '.join(sorted(_FAST_CLOCKS))}",
            "add tsc=reliable to the kernel's command line (Jetson: arch_sys_counter is built in), and restart",
        )


def governor(host: Host) -> Iterator[Finding]:
    """A processor that slows down between two parts is slow when the part comes."""
    files = host.glob("/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor")
    names = sorted({path.read_text(encoding="ascii").strip() for path in files})
    if not names:
        yield skipped("governor", "the frequency is not ours to set (virtual machine?)")
    elif names == ["performance"]:
        yield good("governor", f"performance on {len(files)} processors")
    else:
        mend = "sudo jetson_clocks" if host.jetson else "sudo cpupower frequency-set -g performance"
        yield bad("governor", ", ".join(names), "performance", mend)


def power_mode(host: Host) -> Iterator[Finding]:
    """Jetson: the power mode bounds every clock."""
    if not host.jetson:
        yield skipped("power_mode", "no Jetson")
        return
    told = host.output("nvpmodel", "-q")
    if told is None:
        yield bad("power_mode", "nvpmodel does not answer", "its power mode", "sudo nvpmodel -q")
        return
    name = next((line.split(":", 1)[1].strip() for line in told.splitlines() if "Power Mode" in line), told)
    if name.upper().startswith("MAXN"):
        yield good("power_mode", name)
    else:
        yield bad(
            "power_mode", name, "MAXN, or the mode that the line was certified with", "sudo nvpmodel -m 0"
        )


def real_time(host: Host) -> Iterator[Finding]:
    """Without SCHED_FIFO another program may take the processor in mid-verdict."""
    if host.number("/proc/sys/kernel/sched_rt_runtime_us") == 0:
        mend = "sudo sysctl -w kernel.sched_rt_runtime_us=950000"
        yield bad("real_time", "the kernel gives real-time threads no time", "950000 or -1", mend)
    elif host.may_run_fifo():
        yield good("real_time", "SCHED_FIFO is permitted")
    else:
        yield bad(
            "real_time",
            "SCHED_FIFO is not permitted",
            "a real-time priority of 60 or more for this user",
            "run under the units of `edge install`, or: echo '@edge - rtprio 80' | sudo tee "
            "/etc/security/limits.d/edge.conf, then log in again",
        )


def memory_lock(host: Host) -> Iterator[Finding]:
    """Pages that are taken away come back from a disk."""
    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    if host.has_capability(_CAP_IPC_LOCK):
        yield good("memory_lock", "any amount (CAP_IPC_LOCK)")
    elif limit == resource.RLIM_INFINITY or limit >= _LOCKED_MIB * _MIB:
        yield good("memory_lock", "any amount" if limit < 0 else f"{limit // _MIB} MiB")
    else:
        yield bad(
            "memory_lock",
            f"{limit / _MIB:.1f} MiB may be locked",
            f"{_LOCKED_MIB} MiB",
            "run under the units of `edge install`, or: echo '@edge - memlock unlimited' | sudo tee -a "
            "/etc/security/limits.d/edge.conf, then log in again",
        )


def processors(host: Host) -> Iterator[Finding]:
    """The loop wants one for itself."""
    plan = CpuPlan.for_this_machine(None)
    isolated = host.text("/sys/devices/system/cpu/isolated") or "none"
    if plan.loop is None:
        mend = "give the machine, or its container, at least two processors"
        yield bad("processors", "one", "one for the loop and one for everything else", mend)
    else:
        yield good("processors", f"loop on {plan.loop}, others on {list(plan.others)}; isolated: {isolated}")


def swap(host: Host) -> Iterator[Finding]:
    """A line whose memory is on a disk is late."""
    devices = [line.split()[0] for line in (host.text("/proc/swaps") or "").splitlines()[1:] if line.strip()]
    disks = [device for device in devices if "zram" not in device]
    if disks:
        yield bad("swap", ", ".join(disks), "no swap, or zram", f"sudo swapoff {disks[0]}")
    else:
        yield good("swap", "zram" if devices else "none")
