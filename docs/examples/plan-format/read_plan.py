"""Reads a plan file of Isochron (docs/plan-format.md) and prints a summary. Python 3.8, standard library only.

    python3 read_plan.py batch.plan

The file is taken as hostile: every count, offset and index is checked before it is used. Exit code 0, or 1 with one
line on stderr. `read_plan(bytes)` is the reader for other programs: it raises PlanFormatError.
"""

import struct
import sys

MAGIC, VERSION, HEADER_BYTES, ALIGNMENT = 0x504F5349, 1, 256, 16

# The 56 int32 fields of the header in order; two float64 and a reserve of 16 bytes follow.
HEADER = """
    magic version headerBytes totalBytes usedBytes fingerprint policy launch mergeLaunch mergeOrder mergeGridTokens
    smCount ctasPerSm workers queryHeads kvHeads headDim valueHeadDim dtype kvDtype pageSize maskKind window packedHeads
    kvTileTokens slotRows sinks softCapBits
    requestCount pieceRecordCount pieceCount mergeCount mergeSourceCount partialSlotCount splitJobCount mergeRowCount
    groupCount groupMemberCount
    workerCapacity requestCapacity pieceCapacity mergeCapacity mergeSourceCapacity partialSlotCapacity groupCapacity
    groupMemberCapacity
    requestsOffset workerPieceIndptrOffset workerMergeIndptrOffset groupIndptrOffset groupMembersOffset mergesOffset
    mergeSourcesOffset piecesOffset
    ctasPerWorker groupRangesOffset
""".split()

# Append only; the index is the number in the file.
POLICIES = """
    balanced none tight invariant auto fixed-split flashinfer-decode flashinfer-fa2 flashinfer-holistic flashinfer-fa3
    flashinfer-mla fa-uniform fa3-varlen flashmla stream-k flashinfer-decode-graph flashinfer-fa2-graph custom fa2-paged
    fa2-paged-graph
""".split()
LAUNCHES = ["persistent", "grid"]
MERGE_LAUNCHES = ["none", "fused", "separate"]
MERGE_ORDERS = ["sequential", "canonicalTree"]
DTYPES = ["bf16", "fp16", "fp32", "fp8_e4m3", "fp8_e5m2"]
MASKS = ["causal", "full", "sliding-window"]

# Section, int32 to one record, (count field, capacity field, entries beyond them).
SECTIONS = [
    ("requests", 4, "requestCount", "requestCapacity", 0),
    ("workerPieceIndptr", 1, "workers", "workerCapacity", 1),
    ("workerMergeIndptr", 1, "workers", "workerCapacity", 1),
    ("groupIndptr", 1, "groupCount", "groupCapacity", 1),
    ("groupMembers", 1, "groupMemberCount", "groupMemberCapacity", 0),
    ("groupRanges", 2, "groupCount", "groupCapacity", 0),
    ("merges", 8, "mergeCount", "mergeCapacity", 0),
    ("mergeSources", 2, "mergeSourceCount", "mergeSourceCapacity", 0),
    ("pieces", 8, "pieceRecordCount", "pieceCapacity", 0),
]


class PlanFormatError(ValueError):
    """The bytes are no sound plan of this version."""


def require(condition, problem):
    if not condition:
        raise PlanFormatError(problem)


class Plan:
    """`header`: fields by name. One attribute for each section: a list of records (tuples, or int where it is one)."""

    def __init__(self, header, sections):
        self.header = header
        self.__dict__.update(sections)


def read_plan(data):
    """Checks and reads the bytes of a plan. Raises PlanFormatError."""
    require(len(data) >= HEADER_BYTES, f"found {len(data)} bytes, expected a header of {HEADER_BYTES}")
    h = dict(zip(HEADER, struct.unpack_from("<56i", data)))
    h["makespanNs"], h["lowerBoundNs"] = struct.unpack_from("<2d", data, 224)
    (h["softCap"],) = struct.unpack_from("<f", data, 4 * HEADER.index("softCapBits"))
    require(h["magic"] == MAGIC, "not a plan: the first four bytes are not ISOP")
    require(h["version"] == VERSION, f"plan version {h['version']}, expected {VERSION}")
    require(h["headerBytes"] == HEADER_BYTES, f"headerBytes is {h['headerBytes']}")
    for name in ["workers", *HEADER[28:46]]:  # every count and capacity
        require(h[name] >= 0, f"{name} is {h[name]}, expected a count")
    for name, names in [("policy", POLICIES), ("launch", LAUNCHES), ("mergeLaunch", MERGE_LAUNCHES)]:
        require(0 <= h[name] < len(names), f"{name} is {h[name]}, expected 0 to {len(names) - 1}")
    for name, names in [("mergeOrder", MERGE_ORDERS), ("maskKind", MASKS), ("dtype", DTYPES[:3]), ("kvDtype", DTYPES)]:
        require(0 <= h[name] < len(names), f"{name} is {h[name]}, expected 0 to {len(names) - 1}")
    require(h["kvTileTokens"] >= 1, f"kvTileTokens is {h['kvTileTokens']}")
    require(
        h["kvHeads"] >= 1 and h["queryHeads"] >= h["kvHeads"] and h["queryHeads"] % h["kvHeads"] == 0,
        f"{h['queryHeads']} query heads on {h['kvHeads']} KV heads",
    )
    require(h["packedHeads"] in (1, h["queryHeads"] // h["kvHeads"]), f"packedHeads is {h['packedHeads']}")
    require(0 <= h["makespanNs"] < 1e300 and 0 <= h["lowerBoundNs"] < 1e300, "makespan or lower bound is not finite")

    # The layout is a function of the capacities, and must be the header's own.
    end = HEADER_BYTES
    for name, stride, count, capacity, extra in SECTIONS:
        require(h[name + "Offset"] == end, f"section {name} lies at {h[name + 'Offset']}, expected {end}")
        require(h[count] <= h[capacity], f"{count} is {h[count]}, over its capacity {h[capacity]}")
        end += -(-(h[capacity] + extra) * stride * 4 // ALIGNMENT) * ALIGNMENT
    require(h["totalBytes"] == end, f"totalBytes is {h['totalBytes']}, expected {end}")
    require(h["partialSlotCount"] <= h["partialSlotCapacity"], "partialSlotCount is over its capacity")
    used = h["piecesOffset"] + h["pieceRecordCount"] * 32
    require(h["usedBytes"] == used, f"usedBytes is {h['usedBytes']}, expected {used}")
    require(len(data) >= used, f"found {len(data)} bytes, the plan says it uses {used}")

    sections = {}
    for name, stride, count, _, extra in SECTIONS:
        values = struct.unpack_from(f"<{(h[count] + extra) * stride}i", data, h[name + "Offset"])
        sections[name] = list(values) if stride == 1 else list(zip(*[iter(values)] * stride))
    plan = Plan(h, sections)
    check_ranges("workerPieceIndptr", plan.workerPieceIndptr, h["pieceRecordCount"])
    check_ranges("workerMergeIndptr", plan.workerMergeIndptr, h["mergeCount"])
    check_ranges("groupIndptr", plan.groupIndptr, h["groupMemberCount"])
    check_records(plan)
    return plan


def check_ranges(name, indptr, count):
    """CSR row pointers: from 0, never falling, up to count."""
    require(indptr[0] == 0 and indptr[-1] == count, f"{name} runs from {indptr[0]} to {indptr[-1]}, expected {count}")
    for row in range(1, len(indptr)):
        require(indptr[row] >= indptr[row - 1], f"{name}[{row}] falls")


def check_records(plan):
    h = plan.header
    heads = h["queryHeads"] // h["packedHeads"]
    for i, (_, qo_len, kv_len, _) in enumerate(plan.requests):
        require(qo_len >= 0 and kv_len >= 0, f"request {i} has a negative length")
    groups = []  # query tokens and end of the KV range; piece field `request` is −1 − group
    for g, (kv_start, kv_end) in enumerate(plan.groupRanges):
        members = plan.groupMembers[plan.groupIndptr[g] : plan.groupIndptr[g + 1]]
        require(all(0 <= member < len(plan.requests) for member in members), f"group {g}: member out of range")
        require(0 <= kv_start < kv_end, f"group {g} has no KV tokens")
        groups.append((sum(plan.requests[member][1] for member in members), kv_end))
    for i, (request, head, head_count, row_start, rows, kv_start, kv_end, slot) in enumerate(plan.pieces):
        require(-h["groupCount"] <= request < len(plan.requests), f"piece record {i}: request {request}")
        qo_len, kv_len = plan.requests[request][1:3] if request >= 0 else groups[-1 - request]
        require(head >= 0 and head_count >= 1 and head + head_count <= heads, f"piece record {i}: heads out of range")
        valid = rows & 0xFFFF
        require(
            valid >= 1 and row_start >= 0 and row_start + valid <= qo_len * h["packedHeads"],
            f"piece record {i}: rows out of range",
        )
        require(0 <= kv_start <= kv_end <= kv_len, f"piece record {i}: KV range out of range")
        require(-1 <= slot < max(0, h["partialSlotCount"]), f"piece record {i}: slot {slot}")
        require(slot < 0 or valid <= h["slotRows"], f"piece record {i}: more rows than a slot has")
    pieces = sum(piece[2] for piece in plan.pieces)
    require(pieces == h["pieceCount"], f"pieceCount is {h['pieceCount']}, counted {pieces}")
    sources = 0
    for i, merge in enumerate(plan.merges):
        start, end = merge[4], merge[5]
        require(start == sources and start < end <= h["mergeSourceCount"], f"merge {i}: sources [{start}, {end})")
        sources = end
    require(sources == h["mergeSourceCount"], f"mergeSourceCount is {h['mergeSourceCount']}, counted {sources}")
    for i, (slot, slot_row) in enumerate(plan.mergeSources):
        require(
            0 <= slot < h["partialSlotCount"] and 0 <= slot_row < h["slotRows"],
            f"merge source {i}: row {slot_row} of slot {slot}",
        )


def summary(plan):
    """The lines that read_plan.c prints, too."""
    h = plan.header
    tile = h["kvTileTokens"]
    pieces_of, tiles_of = [], []
    for w in range(h["workers"]):
        records = plan.pieces[plan.workerPieceIndptr[w] : plan.workerPieceIndptr[w + 1]]
        pieces_of.append(sum(record[2] for record in records))
        tiles_of.append(sum(r[2] * (-(-r[6] // tile) - r[5] // tile) for r in records if r[6] > r[5]))
    write_through = sum(record[2] for record in plan.pieces if record[7] < 0)
    imbalance = 1 if h["lowerBoundNs"] == 0 else h["makespanNs"] / h["lowerBoundNs"]
    return [
        f"policy: {POLICIES[h['policy']]}",
        f"launch: {LAUNCHES[h['launch']]}",
        f"merge launch: {MERGE_LAUNCHES[h['mergeLaunch']]}",
        f"merge order: {MERGE_ORDERS[h['mergeOrder']]}, grid of {h['mergeGridTokens']} tokens",
        f"heads: {h['queryHeads']} query, {h['kvHeads']} KV, {h['packedHeads']} packed",
        f"head dimensions: {h['headDim']} query and key, {h['valueHeadDim']} value",
        f"types: {DTYPES[h['dtype']]}, KV {DTYPES[h['kvDtype']]}",
        f"mask: {MASKS[h['maskKind']]}, window {h['window']}",
        f"soft cap: {h['softCap']:.3f}, sinks {h['sinks']}",
        f"page size: {h['pageSize']}, KV tile: {tile} tokens",
        f"requests: {len(plan.requests)}, query tokens: {sum(r[1] for r in plan.requests)}, "
        f"KV tokens: {sum(r[2] for r in plan.requests)}",
        f"shared prefixes: {h['groupCount']} groups, {h['groupMemberCount']} members",
        f"workers: {h['workers']}",
        f"pieces: {h['pieceCount']} in {h['pieceRecordCount']} records",
        f"pieces per worker: {min(pieces_of, default=0)} to {max(pieces_of, default=0)}",
        f"KV tiles per worker: {min(tiles_of, default=0)} to {max(tiles_of, default=0)}",
        f"write-through pieces: {write_through}, partial pieces: {h['pieceCount'] - write_through}",
        f"split jobs: {h['splitJobCount']}, partial slots: {h['partialSlotCount']} of {h['slotRows']} rows",
        f"merges: {h['mergeCount']} from {h['mergeSourceCount']} sources, rows merged: {h['mergeRowCount']}",
        f"makespan: {h['makespanNs'] / 1000:.3f} us",
        f"lower bound: {h['lowerBoundNs'] / 1000:.3f} us",
        f"imbalance: {imbalance:.4f}",
        f"bytes: {h['usedBytes']} used of {h['totalBytes']}",
        f"fingerprint: {h['fingerprint'] & 0xFFFFFFFF:08x}",
    ]


def main(arguments):
    if len(arguments) != 1:
        sys.exit("read_plan: usage: read_plan.py FILE")
    try:
        with open(arguments[0], "rb") as file:
            plan = read_plan(file.read())
    except (OSError, PlanFormatError) as error:
        sys.exit(f"read_plan: {error}")
    print("\n".join(summary(plan)))


if __name__ == "__main__":
    main(sys.argv[1:])
