"""The vector units of the processor, and how libraries are kept from using all of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

LEVELS = (
    "AVX2",
    "AVX2_VNNI",
    "AVX2_VNNI_2",
    "AVX512_CORE",
    "AVX512_CORE_VNNI",
    "AVX512_CORE_BF16",
    "AVX512_CORE_FP16",
    "AVX512_CORE_AMX",
)
"""Instruction sets as oneDNN names them, each with those before it."""

# Flag in /proc/cpuinfo, name, level from which oneDNN uses it.
_X86 = (
    ("avx2", "AVX2", "AVX2"),
    ("avx_vnni", "AVX-VNNI", "AVX2_VNNI"),
    ("avx512bw", "AVX512", "AVX512_CORE"),
    ("avx512_vnni", "AVX512-VNNI", "AVX512_CORE_VNNI"),
    ("avx512_bf16", "AVX512-BF16", "AVX512_CORE_BF16"),
    ("avx512_fp16", "AVX512-FP16", "AVX512_CORE_FP16"),
    ("amx_int8", "AMX", "AVX512_CORE_AMX"),
)
_ARM = (("asimd", "NEON"), ("asimddp", "DOT"), ("i8mm", "I8MM"), ("bf16", "BF16"), ("sve", "SVE"))

_BELOW_AVX512 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "OPENCV_CPU_DISABLE": "AVX512-SKX",
}
RESTRICTIONS: dict[str, dict[str, str]] = {
    "avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2", **_BELOW_AVX512},
    "avx2_vnni": {"ONEDNN_MAX_CPU_ISA": "AVX2_VNNI", **_BELOW_AVX512},
    "avx512": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    "avx512_vnni": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"},
    "avx512_bf16": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"},
    "amx": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_AMX"},
}
"""Variables that keep torch, oneDNN, OpenVINO and OpenCV to an instruction set, for a process that
has yet to start. ONNX Runtime has none."""

_NEEDS = {
    "avx2": "AVX2",
    "avx2_vnni": "AVX-VNNI",
    "avx512": "AVX512",
    "avx512_vnni": "AVX512-VNNI",
    "avx512_bf16": "AVX512-BF16",
    "amx": "AMX",
}


def flags() -> frozenset[str]:
    """What Linux says the processor can do; empty on other systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def vector_units(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Vector units that the libraries may use here, the oldest first.

    Those that ``ONEDNN_MAX_CPU_ISA`` rules out are left out.
    """
    known = flags()
    allowed = environment.get("ONEDNN_MAX_CPU_ISA", "").upper()
    most = LEVELS.index(allowed) if allowed in LEVELS else len(LEVELS)
    x86 = [name for flag, name, level in _X86 if flag in known and LEVELS.index(level) <= most]
    return (*x86, *(name for flag, name in _ARM if flag in known and "asimd" in known))


def brief(units: tuple[str, ...]) -> str:
    """For a column: the widest vectors, and what they have besides (``AVX512 VNNI BF16``)."""
    if "AVX512" not in units:
        return " ".join(u.replace("AVX-", "") for u in units) or "unknown"
    wide = [u.removeprefix("AVX512-") for u in units if u.startswith("AVX512-")]
    return " ".join(("AVX512", *wide, *(u for u in units if u == "AMX")))


def missing_for(restriction: str) -> str | None:
    """The vector unit that a restriction keeps to and this processor has not; None if it has."""
    return None if _NEEDS[restriction] in vector_units({}) else _NEEDS[restriction]
