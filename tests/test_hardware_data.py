"""What must hold for the figures in `hardware_specs/`, read with plain YAML.

These tests know nothing of the loader: a wrong unit table there cannot hide a wrong
figure here. The expected numbers are typed in from datasheets and device queries, never
from the files. Most of the parametrized cases are places where published tables of
accelerators go wrong: sparse for dense, a die or a superchip for a GPU, both directions
of a link for one, a sibling's figure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import llmroof

PACKAGE = Path(llmroof.__file__).resolve().parent
# a wheel carries the profiles inside the package, a checkout beside it
FOLDERS = [PACKAGE / "hardware_specs", PACKAGE.parent / "hardware_specs"]
FILES = sorted(file for folder in FOLDERS for file in folder.glob("*.yaml"))
IDS = [path.stem for path in FILES]

Profile = dict[str, Any]

# Written out by hand: the units that a datasheet uses, in SI.
UNITS = {
    "B": 1.0,
    "KiB": 1_024.0,
    "MiB": 1_048_576.0,
    "GiB": 1_073_741_824.0,
    "GB": 1_000_000_000.0,
    "GB/s": 1_000_000_000.0,
    "TB/s": 1_000_000_000_000.0,
    "Gbit/s": 125_000_000.0,
    "TFLOP/s": 1_000_000_000_000.0,
    "TOP/s": 1_000_000_000_000.0,
    "MHz": 1_000_000.0,
    "W": 1.0,
    "us": 0.000_001,
    "USD": 1.0,
}

TOP_KEYS = [
    *("name", "vendor", "architecture", "form_factor", "year", "status", "aliases"),
    *("memory", "compute", "caches", "processors", "links", "power", "launch_latency"),
    *("prices", "purchase_price", "achieved", "notes", "sources"),
]
REQUIRED = {"name", "vendor", "architecture", "form_factor", "year", "status"} | {
    "memory",
    "compute",
    "sources",
}
FORMATS = [
    *("fp64", "fp64_tensor", "fp32", "tf32", "fp16", "fp16_fp16acc", "bf16"),
    *("fp8", "fp8_fp16acc", "int8", "int4", "fp4"),
]
# section -> key -> units that may stand there; None: a bare number or a name
SECTIONS: dict[str, dict[str, tuple[str, ...] | None]] = {
    "memory": {
        "type": None,
        "capacity": ("GB", "GiB"),
        "reported": ("B", "MiB", "GiB"),
        "bandwidth": ("GB/s", "TB/s"),
    },
    "compute": {f: ("TOP/s",) if f.startswith("int") else ("TFLOP/s",) for f in FORMATS},
    "caches": {"l2": ("MiB",), "last_level": ("MiB",), "shared_per_processor": ("KiB",)},
    "processors": {"count": None, "clock": ("MHz",)},
    "power": {"tdp": ("W",)},
    "links.scale_up": {"name": None, "bandwidth": ("GB/s",), "domain": None},
    "links.pcie": {"generation": None, "lanes": None, "bandwidth": ("GB/s",)},
    "links.host": {"bandwidth": ("GB/s",)},
    "links.nic": {"bandwidth": ("Gbit/s",)},
}
CONFIDENCE = {"high", "medium", "low"}


def split(quantity: str) -> tuple[float, str]:
    match = re.fullmatch(r"(\d+(?:\.\d+)?) (\S+)", quantity)
    assert match, f"not a number, one space and a unit: {quantity!r}"
    return float(match[1]), match[2]


def si(quantity: str) -> float:
    number, unit = split(quantity)
    return number * UNITS[unit]


def at(profile: Profile, path: str) -> Any:
    value: Any = profile
    for key in path.split("."):
        value = value[key]
    return value


def leaves(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, below in value.items():
            yield from leaves(below, f"{path}.{key}")
    else:
        yield path


def figures(profile: Profile) -> list[str]:
    sections = ("memory", "compute", "caches", "processors", "links", "power")
    single = [key for key in ("launch_latency", "purchase_price") if key in profile]
    return single + [leaf for s in sections if s in profile for leaf in leaves(profile[s], s)]


def peaks(profile: Profile) -> dict[str, float]:
    return {name: si(rate) for name, rate in profile["compute"].items()}


@pytest.fixture(scope="module")
def profiles() -> dict[str, Profile]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return {p.stem: yaml.load(p.read_text(encoding="utf-8"), Loader=loader) for p in FILES}


# --- form -----------------------------------------------------------------------------


def test_there_are_at_least_sixty_profiles() -> None:
    assert len(FILES) >= 60


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_the_first_line_names_the_schema_for_editors(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=../llmroof/schemas/hardware.json"


@pytest.mark.parametrize("name", IDS)
def test_keys_are_known_and_stand_in_one_order(profiles: dict[str, Profile], name: str) -> None:
    profile = profiles[name]
    assert set(profile) >= REQUIRED
    assert list(profile) == [key for key in TOP_KEYS if key in profile]
    assert list(profile["compute"]) == [f for f in FORMATS if f in profile["compute"]]
    assert set(profile.get("links", {})) <= {"scale_up", "pcie", "host", "nic"}


@pytest.mark.parametrize("name", IDS)
def test_every_figure_is_a_number_with_the_unit_of_its_field(
    profiles: dict[str, Profile], name: str
) -> None:
    profile = profiles[name]
    for section, fields in SECTIONS.items():
        try:
            values = at(profile, section)
        except KeyError:
            continue
        assert list(values) == [key for key in fields if key in values], section
        for key, value in values.items():
            units = fields[key]
            if units is not None:
                number, unit = split(value)
                assert number > 0, f"{section}.{key}: {value}"
                assert unit in units, f"{section}.{key}: {value}"
            elif key in ("type", "name"):
                assert isinstance(value, str), f"{section}.{key}: {value}"
            else:
                assert isinstance(value, int), f"{section}.{key}: {value}"
                assert value > 0, f"{section}.{key}: {value}"
    for key, unit in (("launch_latency", "us"), ("purchase_price", "USD")):
        if key in profile:
            assert split(profile[key])[1] == unit


def test_ids_and_aliases_name_one_profile_each(profiles: dict[str, Profile]) -> None:
    aliases = [alias for profile in profiles.values() for alias in profile.get("aliases", [])]
    assert all(isinstance(alias, str) for alias in aliases)
    twice = [word for word, times in Counter([*aliases, *profiles]).items() if times > 1]
    assert twice == []
    assert len({profile["name"] for profile in profiles.values()}) == len(profiles)


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("a100", "a100-sxm-80gb"),
        ("h100", "h100-sxm"),
        ("h200", "h200-sxm"),
        ("b200", "b200-sxm"),
        ("b300", "b300-sxm"),
        ("a6000", "rtx-a6000"),
        ("3090", "rtx-3090"),
        ("4090", "rtx-4090"),
        ("rtx4090", "rtx-4090"),
        ("5090", "rtx-5090"),
        ("v5e", "tpu-v5e"),
        ("m2-ultra", "apple-m2-ultra"),
    ],
)
def test_the_name_people_type_means_this_part(
    profiles: dict[str, Profile], alias: str, name: str
) -> None:
    assert alias in profiles[name]["aliases"]


# --- provenance -----------------------------------------------------------------------


@pytest.mark.parametrize("name", IDS)
def test_every_figure_has_exactly_one_source(profiles: dict[str, Profile], name: str) -> None:
    profile = profiles[name]
    covered = [path for source in profile["sources"] for path in source["of"]]
    for leaf in figures(profile):
        hits = [path for path in covered if leaf == path or leaf.startswith(path + ".")]
        assert len(hits) == 1, f"{leaf} is covered by {hits}"
    for path in covered:
        below = [leaf for leaf in figures(profile) if leaf == path or leaf.startswith(path + ".")]
        assert below, f"the source of {path} covers nothing"


@pytest.mark.parametrize("name", IDS)
def test_every_source_is_titled_dated_and_rated(profiles: dict[str, Profile], name: str) -> None:
    for source in profiles[name]["sources"]:
        assert set(source) <= {"of", "title", "url", "checked", "confidence"}
        assert source["title"]
        assert source["confidence"] in CONFIDENCE
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", str(source["checked"]))
    once = [(s["title"], s.get("url"), s["confidence"]) for s in profiles[name]["sources"]]
    assert len(once) == len(set(once)), "one source, one entry"


@pytest.mark.parametrize("name", IDS)
def test_low_confidence_is_kept_only_where_a_roofline_needs_the_figure(
    profiles: dict[str, Profile], name: str
) -> None:
    needed = ("compute.", "memory.capacity", "memory.bandwidth", "power.tdp", "links.scale_up.")
    for source in profiles[name]["sources"]:
        if source["confidence"] == "low":
            paths = [path for path in source["of"] if path != "compute"]
            assert all(path.startswith(needed) for path in paths)


@pytest.mark.parametrize("name", IDS)
def test_prices_are_dated_offers_and_the_first_can_be_defended(
    profiles: dict[str, Profile], name: str
) -> None:
    prices = profiles[name].get("prices", [])
    for price in prices:
        keys = {"usd_per_hour", "provider", "kind", "date", "title", "url", "confidence"}
        assert set(price) <= keys
        assert 0.1 < price["usd_per_hour"] < 30.0
        assert price["kind"] in {"on-demand", "community", "reserved"}
        assert price["provider"]
        assert price["title"]
        assert price["confidence"] in {"high", "medium"}
        if "date" in price:
            assert re.fullmatch(r"20\d\d(-\d\d){0,2}", str(price["date"]))
    if prices:
        assert prices[0]["kind"] != "reserved"
        assert "date" in prices[0] or not any("date" in price for price in prices)


@pytest.mark.parametrize("name", IDS)
def test_measured_fractions_say_how_they_were_measured(
    profiles: dict[str, Profile], name: str
) -> None:
    profile = profiles[name]
    for row in profile.get("achieved", []):
        keys = {"metric", "precision", "fraction", "conditions", "title", "url", "confidence"}
        assert set(row) <= keys
        assert row["conditions"]
        assert row["title"]
        assert row["confidence"] in CONFIDENCE
        # Above 1 only where the part ran faster than the clock of its datasheet (RTX 5090:
        # 2,985 MHz for 2,407) or where a switch reduces on the way (all-reduce).
        assert 0.2 < row["fraction"] < 1.25
        if row["metric"].startswith("gemm"):
            assert row["precision"] in profile["compute"]


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_addresses_are_public_and_nothing_internal_is_left(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for address in re.findall(r"url: \"?([^\s\"}]+)", text):
        assert re.match(r"https://[\w.-]+\.\w+/?", address), address
        assert not re.search(r"[*@]|/project/", address), f"not a page to read: {address}"
    words = ("unverified", "from memory", "(memory)", "index file", "file id", "github:")
    assert [word for word in words if word in text.lower()] == []
    assert not re.search(r"(?:^|[\s\"'(])/[a-z]+/", text), "an absolute path of some machine"


# --- plausibility ---------------------------------------------------------------------

# FP8 runs at the BF16 rate or at twice that; the rest is listed with the reason.
FP8_TO_BF16 = {
    # Quad-rate MXFP8 (2,517) beside a BF16 array that did not grow (671).
    "trainium3": 2517 / 671,
    # Printed as 1,299 and 667: other clocks, not another ratio of multipliers.
    "trainium2": 1299 / 667,
}


def test_fp8_is_as_fast_as_bf16_or_twice_as_fast(profiles: dict[str, Profile]) -> None:
    ratios = {
        name: rates["fp8"] / rates["bf16"]
        for name, rates in ((name, peaks(profile)) for name, profile in profiles.items())
        if "fp8" in rates
    }
    assert len(ratios) > 25
    odd = {name: ratios.pop(name) for name in FP8_TO_BF16}
    assert odd == pytest.approx(FP8_TO_BF16, rel=1e-6)
    # L40S: the sheet prints 362.05 and 733, a ratio of 2.02.
    assert {n: r for n, r in ratios.items() if min(abs(r - 1), abs(r - 2)) > 0.03} == {}


# format -> (lowest, highest) FLOP per byte of device memory, and where the ends lie
RIDGE = {
    "fp64": (0.5, 30),  # GeForce and Blackwell Ultra hardly have FP64; MI300X 15, A30 5.6
    "fp64_tensor": (4, 35),  # B200 4.8; MI300X 30.8
    "fp32": (9, 108),  # A100 80 GB 9.6; L40S 106
    "tf32": (18, 250),  # H20 18.5; Trainium and L4 at 200 and more
    "fp16": (25, 480),  # Apple shaders 26; 480 would take a TPU v6e
    "fp16_fp16acc": (150, 350),  # GeForce only: 3090 152, 4090 328
    "bf16": (25, 580),  # Apple shaders 26; TPU v6e 560, Gaudi 3 500
    "fp8": (70, 900),  # H20 74; L40S 848, L4 807
    "fp8_fp16acc": (450, 700),  # GeForce only: 5090 468, 4090 655
    "int8": (60, 1150),  # EPYC 9654 64; TPU v6e 1,121
    "int4": (110, 1350),  # MI250X (INT4 at the FP16 rate) 117; RTX 4090 1,311
    "fp4": (500, 1900),  # Trainium3 (FP4 = FP8 rate) 514; GB300 1,875
}
RIDGE_EXCEPTIONS = {
    # Blackwell Ultra gave its INT8 and FP64 units up for FP4.
    ("b300-sxm", "int8"): (19, 21),
    ("gb300", "int8"): (20, 22),
    ("b300-sxm", "fp64"): (0.1, 0.2),
    ("gb300", "fp64"): (0.1, 0.2),
    # Export rules cap FP64 at 1 TFLOP/s.
    ("h20", "fp64"): (0.2, 0.3),
    ("h800-sxm", "fp64"): (0.2, 0.4),
}


@pytest.mark.parametrize("name", IDS)
def test_ridge_points_lie_where_silicon_puts_them(profiles: dict[str, Profile], name: str) -> None:
    profile = profiles[name]
    bandwidth = si(profile["memory"]["bandwidth"])
    for number_format, rate in peaks(profile).items():
        low, high = RIDGE_EXCEPTIONS.get((name, number_format), RIDGE[number_format])
        assert low <= rate / bandwidth <= high, f"{number_format}: {rate / bandwidth:.4g}"


@pytest.mark.parametrize("name", IDS)
def test_fewer_bits_are_never_slower(profiles: dict[str, Profile], name: str) -> None:
    rates = peaks(profiles[name])
    for wide, narrow in (("fp32", "bf16"), ("tf32", "bf16"), ("bf16", "fp8"), ("fp8", "fp4")):
        if wide in rates and narrow in rates:
            assert rates[narrow] >= rates[wide]


# FP32 operations per clock and processor: lanes x 2 (multiply and add).
FP32_PER_CLOCK = {
    "Turing": 128,
    "Volta": 128,
    "Ampere GA100": 128,
    "Ampere": 256,
    "Ada Lovelace": 256,
    "Hopper": 256,
    "Blackwell": 256,
    "CDNA 2": 128,
    "CDNA 3": 256,
    "CDNA 4": 256,
    "RDNA 3": 256,
    "Xe2-HPG": 256,
    "Xe-HPC": 256,
    "Apple GPU family 7": 256,
    "Apple GPU family 8": 256,
}
GA100 = {name for name in IDS if name.startswith(("a100", "a800", "a30"))}


def processor_clock(profile: Profile) -> float:
    return float(profile["processors"]["count"]) * si(profile["processors"]["clock"])


def generation(profile: Profile, name: str) -> str:
    return "Ampere GA100" if name in GA100 else str(profile["architecture"])


def test_fp32_follows_from_processors_and_clock(profiles: dict[str, Profile]) -> None:
    counted = {
        name: FP32_PER_CLOCK[generation(profile, name)] * processor_clock(profile)
        for name, profile in profiles.items()
        if generation(profile, name) in FP32_PER_CLOCK and "clock" in profile["processors"]
    }
    assert len(counted) > 40
    # Published as 44 TFLOP/s; 78 SMs at 1,980 MHz give 39.5.
    assert counted.pop("h20") == pytest.approx(39.5e12, rel=0.01)
    published = {name: peaks(profiles[name])["fp32"] for name in counted}
    assert published == pytest.approx(counted, rel=0.02)


# Dense 16-bit matrix operations per clock and processor, FP32 accumulate.
MATRIX_PER_CLOCK = {
    "Turing": 1024,
    "Volta": 1024,
    "Ampere GA100": 2048,
    "Ampere": 1024,
    "Ada Lovelace": 1024,
    "Hopper": 4096,
    "Blackwell": 8192,
    "CDNA 2": 1024,
    "CDNA 3": 2048,
    "CDNA 4": 4096,
    "RDNA 3": 512,
    "Xe2-HPG": 2048,
    "Xe-HPC": 4096,
}
MATRIX_EXCEPTIONS = {
    # GeForce, and the A10G that is cut alike, accumulate in FP32 at half rate.
    "rtx-3090": 512,
    "rtx-4090": 512,
    "rtx-5090": 512,
    "a10g": 512,
    # GB202 has the tensor cores of a workstation part, not those of the B200.
    "rtx-pro-6000-server": 1024,
}


def test_no_sixteen_bit_peak_exceeds_what_the_multipliers_can_do(
    profiles: dict[str, Profile],
) -> None:
    """A sparse figure is twice the count of multipliers, so it fails here by itself."""
    # Below 1: peaks quoted under the highest clock (H100: 0.92), H20 and L40 cut by design.
    floors = {"h20": 0.20, "l40": 0.45, "h100-nvl": 0.85, "h200-nvl": 0.85}
    wrong, checked = {}, 0
    for name, profile in profiles.items():
        per_clock = MATRIX_EXCEPTIONS.get(name, MATRIX_PER_CLOCK.get(generation(profile, name)))
        if per_clock is None or "clock" not in profile["processors"]:
            continue
        counted = per_clock * processor_clock(profile)
        for number_format in {"fp16", "bf16"} & set(profile["compute"]):
            share = peaks(profile)[number_format] / counted
            checked += 1
            if not floors.get(name, 0.90) <= share <= 1.02:
                wrong[name, number_format] = share
    assert wrong == {}
    assert checked > 70


def test_reported_memory_is_a_little_less_than_stated(profiles: dict[str, Profile]) -> None:
    shares = {}
    for name, profile in profiles.items():
        if "reported" in profile["memory"]:
            stated, unit = split(profile["memory"]["capacity"])
            assert unit in ("GB", "GiB")
            # A stated capacity means GiB on the package, at most.
            shares[name] = si(profile["memory"]["reported"]) / (stated * UNITS["GiB"])
    assert len(shares) > 10
    # Inline ECC, spare stacks and firmware take up to a tenth.
    assert {name: share for name, share in shares.items() if not 0.90 < share <= 1.0} == {}


def test_a_pcie_link_carries_what_its_generation_and_lanes_allow(
    profiles: dict[str, Profile],
) -> None:
    links = {
        name: profile["links"]["pcie"]
        for name, profile in profiles.items()
        if "pcie" in profile.get("links", {})
    }
    assert len(links) > 40
    # GT/s per lane, 128b/130b coding, eight bits a byte; one direction.
    transfers = {3: 8e9, 4: 16e9, 5: 32e9}
    one_way = {
        name: transfers[pcie["generation"]] * pcie["lanes"] * 128 / 130 / 8
        for name, pcie in links.items()
    }
    stated = {name: si(pcie["bandwidth"]) for name, pcie in links.items()}
    assert stated == pytest.approx(one_way, rel=0.01)


# --- traps: where published tables of accelerators go wrong ----------------------------

TERA, GIGA = 1e12, 1e9

TRAPS = [
    # sparse taken for dense
    ("H100 SXM BF16 is 989, not the sparse 1,979", "h100-sxm", "compute.bf16", 989.4 * TERA),
    ("H100 SXM FP8 is 1,979, not the sparse 3,958", "h100-sxm", "compute.fp8", 1979 * TERA),
    ("H100 SXM TF32 is 494.7, not the A100's 156", "h100-sxm", "compute.tf32", 494.7 * TERA),
    ("H100 PCIe BF16 is 756, not the sparse 1,513", "h100-pcie", "compute.bf16", 756 * TERA),
    ("H100 NVL BF16 is 835.5, not the sparse 1,671", "h100-nvl", "compute.bf16", 835.5 * TERA),
    ("H200 SXM FP8 is 1,979, not 3,940 dense", "h200-sxm", "compute.fp8", 1979 * TERA),
    ("H200 NVL BF16 is 835.5, not the sparse 1,671", "h200-nvl", "compute.bf16", 835.5 * TERA),
    ("GH200 BF16 is 989, not the sparse 1,979", "gh200-96gb", "compute.bf16", 989.4 * TERA),
    ("A100 BF16 is 312, not the sparse 624", "a100-sxm-80gb", "compute.bf16", 312 * TERA),
    ("A100 INT8 is 624, not the sparse 1,248", "a100-sxm-80gb", "compute.int8", 624 * TERA),
    ("L4 BF16 is 121, not the sparse 242", "l4", "compute.bf16", 121 * TERA),
    ("L4 FP8 is 242, not the sparse 485", "l4", "compute.fp8", 242 * TERA),
    ("L4 memory is 300 GB/s, not an H100's 3,350", "l4", "memory.bandwidth", 300 * GIGA),
    ("L40S BF16 is 362, its sheet's dense column", "l40s", "compute.bf16", 362.05 * TERA),
    ("L40 keeps the 181 of its own sheet", "l40", "compute.bf16", 181.05 * TERA),
    ("RTX 6000 Ada BF16 is 364, a quarter of 1,457", "rtx-6000-ada", "compute.bf16", 364 * TERA),
    (
        "RTX PRO 6000 BF16 is 468, half of the unlabelled 1 PF, and not the FP32 125",
        *("rtx-pro-6000-server", "compute.bf16", 467.8 * TERA),
    ),
    (
        "RTX PRO 6000 FP8 is 936, half of the unlabelled 2 PF",
        *("rtx-pro-6000-server", "compute.fp8", 935.6 * TERA),
    ),
    (
        "RTX PRO 6000 FP4 is 1,871, half of the unlabelled 4 PF",
        *("rtx-pro-6000-server", "compute.fp4", 1871.2 * TERA),
    ),
    ("RTX 4090 INT8 is 661, half of its AI TOPS", "rtx-4090", "compute.int8", 660.6 * TERA),
    ("RTX 5090 FP4 is 1,676, half of its AI TOPS", "rtx-5090", "compute.fp4", 1676 * TERA),
    ("Trainium2 FP8 is 1,299, not the sparse 2,563", "trainium2", "compute.fp8", 1299 * TERA),
    ("Trainium3 BF16 is 671; 2,517 is MXFP8", "trainium3", "compute.bf16", 671 * TERA),
    ("Trainium3 FP8 is 2,517, dense", "trainium3", "compute.fp8", 2517 * TERA),
    ("MI355X FP4 is 10,066 dense, never halved", "mi355x", "compute.fp4", 10066.3 * TERA),
    ("MI300X BF16 is 1,307, not the shader rate 383", "mi300x", "compute.bf16", 1307.4 * TERA),
    # accumulate type on GeForce
    ("RTX 3090 FP16 accumulating in FP32 is 71", "rtx-3090", "compute.fp16", 71 * TERA),
    ("RTX 3090 FP16 accumulating in FP16 is 142", "rtx-3090", "compute.fp16_fp16acc", 142 * TERA),
    ("RTX 4090 BF16 is 165, not 330", "rtx-4090", "compute.bf16", 165.2 * TERA),
    ("RTX 4090 FP16 accumulating in FP32 is 165", "rtx-4090", "compute.fp16", 165.2 * TERA),
    ("RTX 4090 FP16 accumulating in FP16 is 330", "rtx-4090", "compute.fp16_fp16acc", 330.3 * TERA),
    ("RTX 4090 FP8 accumulating in FP32 is 330", "rtx-4090", "compute.fp8", 330.3 * TERA),
    ("RTX 4090 FP8 accumulating in FP16 is 661", "rtx-4090", "compute.fp8_fp16acc", 660.6 * TERA),
    ("RTX 5090 BF16 is 209.5, not 419", "rtx-5090", "compute.bf16", 209.5 * TERA),
    ("RTX 5090 FP8 accumulating in FP32 is 419", "rtx-5090", "compute.fp8", 419 * TERA),
    ("RTX 5090 FP8 accumulating in FP16 is 838", "rtx-5090", "compute.fp8_fp16acc", 838 * TERA),
    ("RTX A6000 is a full-rate GA102", "rtx-a6000", "compute.fp16", 154.8 * TERA),
    # near-namesakes
    ("A10 BF16 is 125", "a10", "compute.bf16", 125 * TERA),
    ("A10 has 72 SMs", "a10", "processors.count", 72),
    ("A10G BF16 is 70, not the A10's 125", "a10g", "compute.bf16", 70 * TERA),
    ("A10G has 80 SMs, not 72", "a10g", "processors.count", 80),
    ("A10G FP32 is 35", "a10g", "compute.fp32", 35 * TERA),
    ("H100 PCIe memory is 2.0 TB/s", "h100-pcie", "memory.bandwidth", 2.0 * TERA),
    ("H100 PCIe has 114 SMs", "h100-pcie", "processors.count", 114),
    ("H100 PCIe draws 350 W", "h100-pcie", "power.tdp", 350),
    ("H100 SXM memory is 3.35 TB/s", "h100-sxm", "memory.bandwidth", 3.35 * TERA),
    ("H100 SXM has 132 SMs", "h100-sxm", "processors.count", 132),
    ("H100 NVL memory is 3.9 TB/s", "h100-nvl", "memory.bandwidth", 3938 * GIGA),
    ("H100 NVL has 94 GB", "h100-nvl", "memory.capacity", 94 * GIGA),
    (
        "RTX PRO 6000 Server memory is 1,597 GB/s, not the Workstation's 1,792",
        *("rtx-pro-6000-server", "memory.bandwidth", 1597 * GIGA),
    ),
    ("H20 BF16 is 148, 1/6.7 of an H100", "h20", "compute.bf16", 148 * TERA),
    ("H20 FP8 is 296", "h20", "compute.fp8", 296 * TERA),
    ("H20 memory is faster than an H100's", "h20", "memory.bandwidth", 4.0 * TERA),
    ("H20 keeps the full NVLink", "h20", "links.scale_up.bandwidth", 450 * GIGA),
    ("H800 keeps the tensor rate", "h800-sxm", "compute.bf16", 989 * TERA),
    ("H800 NVLink is cut to 200 per direction", "h800-sxm", "links.scale_up.bandwidth", 200 * GIGA),
    ("A800 keeps the tensor rate", "a800-sxm-80gb", "compute.bf16", 312 * TERA),
    (
        "A800 NVLink is cut to 200 per direction",
        *("a800-sxm-80gb", "links.scale_up.bandwidth", 200 * GIGA),
    ),
    ("MI325X has 256, not 288", "mi325x", "memory.capacity", 256 * UNITS["GiB"]),
    ("MI325X memory is 6.0 TB/s, not 10.3", "mi325x", "memory.bandwidth", 6.0 * TERA),
    ("MI300X memory is 5.3 TB/s, not 10.3", "mi300x", "memory.bandwidth", 5.3 * TERA),
    ("MI300X has 192, not an MI325X's 256", "mi300x", "memory.capacity", 192 * UNITS["GiB"]),
    ("GH200 is one GPU", "gh200-144gb", "processors.count", 132),
    # die, GPU, superchip
    ("B200 is two dies, 180 GB", "b200-sxm", "memory.capacity", 180 * GIGA),
    ("B200 memory is 7.7 TB/s by device query", "b200-sxm", "memory.bandwidth", 7.7 * TERA),
    ("B200 in an HGX has 2,250 BF16", "b200-sxm", "compute.bf16", 2250 * TERA),
    ("B200 FP4 is 9,000 dense", "b200-sxm", "compute.fp4", 9000 * TERA),
    ("B200 has 148 SMs", "b200-sxm", "processors.count", 148),
    ("GB200 per GPU has 186 GB, not 372", "gb200", "memory.capacity", 186 * GIGA),
    ("GB200 per GPU has 2,500 BF16, not 5,000", "gb200", "compute.bf16", 2500 * TERA),
    ("GB200 per GPU has 10,000 FP4, not 20,000", "gb200", "compute.fp4", 10000 * TERA),
    ("GB200 memory is 8 TB/s, not 13.4", "gb200", "memory.bandwidth", 8.0 * TERA),
    ("GB200 has 152 SMs", "gb200", "processors.count", 152),
    ("GB200 draws 1,200 W per GPU", "gb200", "power.tdp", 1200),
    ("B300 INT8 is 153.5, not 4,500", "b300-sxm", "compute.int8", 153.5 * TERA),
    ("B300 FP64 is 1.25", "b300-sxm", "compute.fp64", 1.25 * TERA),
    ("B300 FP4 is 13,500", "b300-sxm", "compute.fp4", 13500 * TERA),
    ("B300 BF16 is 2,250, not the sparse 3,500", "b300-sxm", "compute.bf16", 2250 * TERA),
    ("GB300 INT8 is 166.7, not 5,000", "gb300", "compute.int8", 166.7 * TERA),
    ("GB300 FP4 is 15,000", "gb300", "compute.fp4", 15000 * TERA),
    ("MI250X is the whole module of two GPUs", "mi250x", "compute.bf16", 383 * TERA),
    ("MI250X memory is both stacks", "mi250x", "memory.capacity", 128 * UNITS["GiB"]),
    ("A100 is 108 SMs, not the full die of 128", "a100-sxm-80gb", "processors.count", 108),
    ("A100 L2 is 40 MiB, not the full die's 48", "a100-sxm-80gb", "caches.l2", 40 * UNITS["MiB"]),
    # formats without a speed-up, and other rates
    ("TPU v4 INT8 is the BF16 rate", "tpu-v4", "compute.int8", 275 * TERA),
    ("MI210 INT8 is the FP16 rate, not 362", "mi210", "compute.int8", 181 * TERA),
    ("MI250X INT8 is the FP16 rate, not 766", "mi250x", "compute.int8", 383 * TERA),
    ("RX 7900 XTX INT8 is the FP16 rate", "rx-7900-xtx", "compute.int8", 122.8 * TERA),
    ("Gaudi 3 FP16 is a quarter of BF16", "gaudi3", "compute.fp16", 459 * TERA),
    ("Gaudi 3 has 128 GB, not 144", "gaudi3", "memory.capacity", 128 * GIGA),
    ("Gaudi 3 draws 900 W, not 600", "gaudi3", "power.tdp", 900),
    ("Arc B580 INT8 is 219 at its own clock", "arc-b580", "compute.int8", 218.7 * TERA),
    ("V100 INT8 is DP4A", "v100-sxm2-16gb", "compute.int8", 62 * TERA),
    ("Trainium3 FP4 is the FP8 rate", "trainium3", "compute.fp4", 2517 * TERA),
    ("TPU v6e INT8 is 1,836, not 460", "tpu-v6e", "compute.int8", 1836 * TERA),
    # memory: GB or GiB, GB/s or GiB/s
    ("TPU v5e memory is 819 GB/s, not 800", "tpu-v5e", "memory.bandwidth", 819 * GIGA),
    ("TPU v5e states GB", "tpu-v5e", "memory.capacity", 16 * GIGA),
    ("TPU v5p memory is 2,765 GB/s, not 4,800", "tpu-v5p", "memory.bandwidth", 2765 * GIGA),
    ("TPU v5p states GiB", "tpu-v5p", "memory.capacity", 95 * UNITS["GiB"]),
    ("TPU v7 memory is 7.37 TB/s, not 7.2 Tbit/s", "tpu-v7", "memory.bandwidth", 7.37 * TERA),
    ("H200 reports 143,771 MiB", "h200-sxm", "memory.reported", 143771 * UNITS["MiB"]),
    ("H100 reports 81,090 MiB", "h100-sxm", "memory.reported", 81090 * UNITS["MiB"]),
    ("L40S loses memory to ECC", "l40s", "memory.reported", 46068 * UNITS["MiB"]),
    ("A10G loses memory to ECC", "a10g", "memory.reported", 22587 * UNITS["MiB"]),
    ("A100 40 GB reports 42.4e9 bytes", "a100-sxm-40gb", "memory.reported", 42405855232),
    ("GB300 reports 284,208 MiB", "gb300", "memory.reported", 284208 * UNITS["MiB"]),
    ("RTX 5090 memory is 1,792 GB/s", "rtx-5090", "memory.bandwidth", 1792 * GIGA),
    ("M1 Ultra memory is the printed 800 GB/s", "apple-m1-ultra", "memory.bandwidth", 800 * GIGA),
    # links: one direction, one device
    ("NVLink 3 is 300 of 600", "a100-sxm-80gb", "links.scale_up.bandwidth", 300 * GIGA),
    ("NVLink 4 is 450 of 900", "h100-sxm", "links.scale_up.bandwidth", 450 * GIGA),
    ("NVLink 5 is 900 of 1,800", "b200-sxm", "links.scale_up.bandwidth", 900 * GIGA),
    ("an H100 PCIe bridge is 300 of 600", "h100-pcie", "links.scale_up.bandwidth", 300 * GIGA),
    ("a GA102 bridge is 56 of 112", "rtx-a6000", "links.scale_up.bandwidth", 56.25 * GIGA),
    ("MI300X sums seven links of 64", "mi300x", "links.scale_up.bandwidth", 7 * 64 * GIGA),
    ("MI355X sums seven links of 76.5", "mi355x", "links.scale_up.bandwidth", 7 * 76.5 * GIGA),
    ("Gaudi 3 has 21 ports in the node", "gaudi3", "links.scale_up.bandwidth", 21 * 25 * GIGA),
    ("Gaudi 2 has 21 ports in the node", "gaudi2", "links.scale_up.bandwidth", 21 * 12.5 * GIGA),
    ("TPU v5e ICI is 4 x 400 Gbit/s one way", "tpu-v5e", "links.scale_up.bandwidth", 200 * GIGA),
    ("TPU v5p ICI is 4,800 Gbit/s one way", "tpu-v5p", "links.scale_up.bandwidth", 600 * GIGA),
    ("Trainium2 NeuronLink is 640 of 1,280", "trainium2", "links.scale_up.bandwidth", 640 * GIGA),
    ("PCIe 5 x16 is 63, not 128", "h100-sxm", "links.pcie.bandwidth", 63 * GIGA),
    ("B200 attaches at PCIe 5", "b200-sxm", "links.pcie.generation", 5),
    ("Arc B580 has eight lanes", "arc-b580", "links.pcie.lanes", 8),
    ("Arc Pro B60 has eight lanes", "arc-pro-b60", "links.pcie.lanes", 8),
    ("GB200 reaches its CPU at 450 one way", "gb200", "links.host.bandwidth", 450 * GIGA),
    ("GB200 joins 72 GPUs", "gb200", "links.scale_up.domain", 72),
    ("an HGX B200 joins 8 GPUs", "b200-sxm", "links.scale_up.domain", 8),
]


@pytest.mark.parametrize(
    ("name", "path", "expected"), [case[1:] for case in TRAPS], ids=[case[0] for case in TRAPS]
)
def test_trap(profiles: dict[str, Profile], name: str, path: str, expected: float) -> None:
    value = at(profiles[name], path)
    assert (value if isinstance(value, int) else si(value)) == pytest.approx(expected, rel=1e-9)


AMPERE = [name for name in IDS if name.startswith(("a10", "a30", "a40", "a800", "rtx-a6", "rtx-3"))]
PRE_AMPERE = ["t4", "v100-sxm2-16gb", "v100-sxm2-32gb"]
APPLE = [name for name in IDS if name.startswith("apple-")]
ABSENT = [
    *((name, "bf16", "Turing and Volta have no BF16") for name in PRE_AMPERE),
    *((name, "fp8", "FP8 came with Ada and Hopper") for name in [*PRE_AMPERE, *AMPERE]),
    *((name, "int4", "Hopper dropped INT4") for name in ("h100-sxm", "h100-pcie", "h200-sxm")),
    *((name, "fp4", "FP4 came with Blackwell") for name in ("h100-sxm", "h200-sxm", "rtx-4090")),
    *((name, "fp8", "falls back to BF16") for name in ("arc-b580", "arc-pro-b60", "rx-7900-xtx")),
    *((name, "fp8", "CDNA 2 has no FP8") for name in ("mi210", "mi250x")),
    *((name, "fp4", "CDNA 3 has no FP4") for name in ("mi300x", "mi325x")),
    *((name, "int8", "no matrix units on the GPU") for name in APPLE),
    *((name, "fp16_fp16acc", "not halved") for name in ("a40", "rtx-a6000", "l4", "l40s")),
]


@pytest.mark.parametrize(
    ("name", "number_format"),
    [case[:2] for case in ABSENT],
    ids=[f"{name}-{number_format}-{why}" for name, number_format, why in ABSENT],
)
def test_a_format_that_the_part_lacks_is_absent(
    profiles: dict[str, Profile], name: str, number_format: str
) -> None:
    assert number_format not in profiles[name]["compute"]


@pytest.mark.parametrize(
    "name", ["tpu-v5p", "tpu-v6e", "trainium1", "inferentia2", "gaudi3"], ids=str
)
def test_fp8_brings_no_speed_on_this_part(profiles: dict[str, Profile], name: str) -> None:
    rates = profiles[name]["compute"]
    assert rates["fp8"] == rates["bf16"]


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        *((name, "GiB") for name in IDS if name.startswith(("mi", "trainium", "inferentia"))),
        *((name, "GiB") for name in ("tpu-v4", "tpu-v5p", "tpu-v7", "rx-7900-xtx")),
        *((name, "GB") for name in ("tpu-v5e", "tpu-v6e", "h100-sxm", "b200-sxm", "gaudi3")),
    ],
)
def test_capacity_stands_in_the_unit_that_the_vendor_prints(
    profiles: dict[str, Profile], name: str, unit: str
) -> None:
    assert split(profiles[name]["memory"]["capacity"])[1] == unit


@pytest.mark.parametrize(
    ("name", "memory_type"),
    [("h100-pcie", "HBM2e"), ("h100-sxm", "HBM3"), ("h200-sxm", "HBM3e"), ("gh200-96gb", "HBM3")],
)
def test_siblings_differ_in_their_memory(
    profiles: dict[str, Profile], name: str, memory_type: str
) -> None:
    assert profiles[name]["memory"]["type"] == memory_type


@pytest.mark.parametrize(
    ("name", "price"),
    [("h100-sxm", 98.32 / 8), ("a100-sxm-80gb", 40.96 / 8), ("h100-sxm", 4.326)],
    ids=["P5 before the cut of June 2025", "P4de before the cut", "a contradicted capture"],
)
def test_a_price_known_to_be_stale_or_wrong_is_absent(
    profiles: dict[str, Profile], name: str, price: float
) -> None:
    offers = [offer["usd_per_hour"] for offer in profiles[name]["prices"]]
    assert all(abs(offer - price) > 0.005 for offer in offers)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("mi250x", "GCD"),
        ("mi300x", "one peer"),
        ("gb200", "Per GPU"),
        ("gb300", "INT8"),
        ("b300-sxm", "INT8"),
        ("rtx-4090", "FP32 accumulate"),
        ("a10g", "A10"),
        ("max-1550", "Two stacks"),
        ("apple-m2-ultra", "No tensor cores"),
    ],
)
def test_the_notes_warn_of_what_the_figures_cannot_say(
    profiles: dict[str, Profile], name: str, word: str
) -> None:
    assert word in profiles[name]["notes"]
