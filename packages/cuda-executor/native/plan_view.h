// The plan format as C++ sees it, and the check that every plan passes before anything is uploaded.
//
// A plan is hostile until checked: one linear pass over header, counts and every index of every section. After it, no
// index that the kernel follows leaves its section, every partial slot is written exactly once, and every job's counter
// returns to zero. The field tables are X-macros so that a test can compare them with the TypeScript ones by name.
#pragma once
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "chunk_grid.h"

namespace isochron {

#define ISOCHRON_HEADER_FIELDS(X)                                                                                      \
  X(magic, 0) X(version, 1) X(headerBytes, 2) X(totalBytes, 3) X(usedBytes, 4) X(fingerprint, 5) X(policy, 6)          \
  X(launch, 7) X(mergeLaunch, 8) X(mergeOrder, 9) X(mergeGridTokens, 10) X(smCount, 11) X(ctasPerSm, 12)               \
  X(workers, 13) X(queryHeads, 14) X(kvHeads, 15) X(headDim, 16) X(valueHeadDim, 17) X(dtype, 18) X(kvDtype, 19)       \
  X(pageSize, 20) X(maskKind, 21) X(window, 22) X(packedHeads, 23) X(kvTileTokens, 24) X(slotRows, 25) X(sinks, 26)    \
  X(softCapBits, 27) X(requestCount, 28) X(pieceRecordCount, 29) X(pieceCount, 30) X(mergeCount, 31)                   \
  X(mergeSourceCount, 32) X(partialSlotCount, 33) X(splitJobCount, 34) X(mergeRowCount, 35) X(groupCount, 36)          \
  X(groupMemberCount, 37) X(workerCapacity, 38) X(requestCapacity, 39) X(pieceCapacity, 40) X(mergeCapacity, 41)       \
  X(mergeSourceCapacity, 42) X(partialSlotCapacity, 43) X(groupCapacity, 44) X(groupMemberCapacity, 45)                \
  X(requestsOffset, 46) X(workerPieceIndptrOffset, 47) X(workerMergeIndptrOffset, 48) X(groupIndptrOffset, 49)         \
  X(groupMembersOffset, 50) X(mergesOffset, 51) X(mergeSourcesOffset, 52) X(piecesOffset, 53) X(ctasPerWorker, 54)     \
  X(groupRangesOffset, 55) X(makespanNs, 56) X(lowerBoundNs, 58)
#define ISOCHRON_REQUEST_FIELDS(X) X(stride, 4) X(queryStart, 0) X(qoLen, 1) X(kvLen, 2) X(pageStart, 3)
#define ISOCHRON_PIECE_FIELDS(X)                                                                                       \
  X(stride, 8) X(request, 0) X(head, 1) X(headCount, 2) X(rowStart, 3) X(rows, 4) X(kvStart, 5) X(kvEnd, 6) X(slot, 7)
#define ISOCHRON_MERGE_FIELDS(X)                                                                                       \
  X(stride, 8) X(request, 0) X(head, 1) X(rowStart, 2) X(rowCount, 3) X(sourceStart, 4) X(sourceEnd, 5) X(splitJob, 6)
#define ISOCHRON_GROUP_RANGE_FIELDS(X) X(stride, 2) X(kvStart, 0) X(kvEnd, 1)
#define ISOCHRON_MERGE_SOURCE_FIELDS(X) X(stride, 2) X(slot, 0) X(slotRow, 1)

#define ISOCHRON_AS_ENUM(name, value) name = value,
namespace header { enum : int { ISOCHRON_HEADER_FIELDS(ISOCHRON_AS_ENUM) }; }
namespace request { enum : int { ISOCHRON_REQUEST_FIELDS(ISOCHRON_AS_ENUM) }; }
namespace piece { enum : int { ISOCHRON_PIECE_FIELDS(ISOCHRON_AS_ENUM) }; }
namespace merge { enum : int { ISOCHRON_MERGE_FIELDS(ISOCHRON_AS_ENUM) }; }
namespace merge_source { enum : int { ISOCHRON_MERGE_SOURCE_FIELDS(ISOCHRON_AS_ENUM) }; }
namespace group_range { enum : int { ISOCHRON_GROUP_RANGE_FIELDS(ISOCHRON_AS_ENUM) }; }
#undef ISOCHRON_AS_ENUM

constexpr int32_t kPlanMagic = 0x504f5349;
constexpr int32_t kPlanVersion = 1;
constexpr int32_t kHeaderBytes = 256;
constexpr int32_t kMaxTokens = 0x7fffff00;
/** Chosen: more records than any budget needs, few enough that no section size overflows int32. */
constexpr int32_t kMaxCapacity = 1 << 24;

enum class Dtype : int { bf16 = 0, fp16 = 1, fp32 = 2, fp8E4m3 = 3, fp8E5m2 = 4 };
enum class MaskKind : int { causal = 0, full = 1, slidingWindow = 2 };

/** The first thing wrong with a plan: field, record index (−1 where there is none), value found, what was expected. */
struct PlanFault {
  std::string field;
  int64_t index = -1;
  int64_t value = 0;
  std::string expected;
};

/** What the plan's indices may reach on this executor. */
struct PlanLimits {
  int64_t pageTableLength = 0;
  int64_t queryTokens = 0;
};

/** Views over a plan buffer; valid only after checkPlan. */
struct PlanView {
  const int32_t* words;
  int32_t operator[](int field) const { return words[field]; }
  const int32_t* section(int offsetField) const { return words + words[offsetField] / 4; }
  const int32_t* request(int i) const { return section(header::requestsOffset) + i * request::stride; }
  const int32_t* piece(int i) const { return section(header::piecesOffset) + i * piece::stride; }
  const int32_t* merge(int i) const { return section(header::mergesOffset) + i * merge::stride; }
  const int32_t* source(int i) const { return section(header::mergeSourcesOffset) + i * merge_source::stride; }
  const int32_t* workerPieceIndptr() const { return section(header::workerPieceIndptrOffset); }
  const int32_t* workerMergeIndptr() const { return section(header::workerMergeIndptrOffset); }
  const int32_t* groupIndptr() const { return section(header::groupIndptrOffset); }
  const int32_t* groupMembers() const { return section(header::groupMembersOffset); }
  const int32_t* groupRange(int g) const { return section(header::groupRangesOffset) + g * group_range::stride; }
  /** Heads that pieces count in: KV heads where a group is packed, query heads where it is not. */
  int32_t heads() const {
    return words[header::packedHeads] == 1 ? words[header::queryHeads] : words[header::kvHeads];
  }
};

/** Byte offsets of the sections: a pure function of the capacities, as in layout.ts. */
struct PlanOffsets {
  int64_t requests, workerPieceIndptr, workerMergeIndptr, groupIndptr, groupMembers, groupRanges;
  int64_t merges, mergeSources, pieces, total;
};

inline PlanOffsets planOffsets(const int32_t* words) {
  int64_t end = kHeaderBytes;
  auto place = [&end](int64_t int32s) {
    const int64_t start = end;
    end += (int32s * 4 + 15) / 16 * 16;
    return start;
  };
  PlanOffsets at{};
  at.requests = place(int64_t(words[header::requestCapacity]) * request::stride);
  at.workerPieceIndptr = place(int64_t(words[header::workerCapacity]) + 1);
  at.workerMergeIndptr = place(int64_t(words[header::workerCapacity]) + 1);
  at.groupIndptr = place(int64_t(words[header::groupCapacity]) + 1);
  at.groupMembers = place(words[header::groupMemberCapacity]);
  at.groupRanges = place(int64_t(words[header::groupCapacity]) * group_range::stride);
  at.merges = place(int64_t(words[header::mergeCapacity]) * merge::stride);
  at.mergeSources = place(int64_t(words[header::mergeSourceCapacity]) * merge_source::stride);
  at.pieces = place(int64_t(words[header::pieceCapacity]) * piece::stride);
  at.total = end;
  return at;
}

enum class MergeOrder : int { sequential = 0, canonicalTree = 1 };
/** Tokens of a KV tile of the kernels; the chunks of a canonical tree are multiples of it. */
constexpr int32_t kKernelTileTokens = 64;
/** The merge grid of a piece: its request's, or that of each member of its group. */
inline ChunkGrid chunkGrid(const PlanView& plan, const int32_t* piece) {
  const int32_t owner = piece[piece::request];
  const int32_t* r = plan.request(owner < 0 ? plan.groupMembers()[plan.groupIndptr()[-1 - owner]] : owner);
  return ChunkGrid::of(plan[header::mergeGridTokens], int64_t(r[request::qoLen]) * plan[header::packedHeads]);
}

/** Partial states that one head of a piece leaves: one, or the canonical tree nodes that cover its chunks. */
inline int32_t partialStates(const PlanView& plan, const int32_t* piece) {
  if (plan[header::mergeOrder] != int(MergeOrder::canonicalTree) || piece[piece::kvEnd] <= piece[piece::kvStart]) return 1;
  const ChunkGrid grid = chunkGrid(plan, piece);
  return grid.nodeCount(grid.startOf(piece[piece::kvStart]), grid.endOf(piece[piece::kvEnd] - 1));
}

/** Scratch of checkPlan, kept between plans so that a check allocates nothing. */
struct PlanCheckScratch {
  std::vector<int32_t> slotWriter;
  std::vector<int32_t> jobSeen;
  std::vector<int32_t> slotJob;
  std::vector<int64_t> groupRows;
};

/** True where the plan may be uploaded; otherwise `fault` names the first violation. `words` must be 16-byte aligned. */
inline bool checkPlan(const int32_t* words, size_t bytes, const PlanLimits& limits, PlanCheckScratch& scratch,
                      PlanFault& fault) {
  auto fail = [&fault](const char* field, int64_t index, int64_t value, std::string expected) {
    fault = {field, index, value, std::move(expected)};
    return false;
  };
  auto range = [](int64_t low, int64_t high) { return std::to_string(low) + " to " + std::to_string(high); };
#define ISOCHRON_REQUIRE(field, index, value, low, high)                                                               \
  do {                                                                                                                 \
    const int64_t v_ = (value), lo_ = (low), hi_ = (high);                                                             \
    if (v_ < lo_ || v_ > hi_) return fail(field, index, v_, range(lo_, hi_));                                          \
  } while (0)
#define ISOCHRON_REQUIRE_FIELD(name, low, high) ISOCHRON_REQUIRE("header." #name, -1, words[header::name], low, high)

  if (bytes < size_t(kHeaderBytes)) return fail("buffer.byteLength", -1, int64_t(bytes), "at least 256");
  ISOCHRON_REQUIRE_FIELD(magic, kPlanMagic, kPlanMagic);
  ISOCHRON_REQUIRE_FIELD(version, kPlanVersion, kPlanVersion);
  ISOCHRON_REQUIRE_FIELD(headerBytes, kHeaderBytes, kHeaderBytes);
  ISOCHRON_REQUIRE_FIELD(workerCapacity, 0, kMaxCapacity);
  ISOCHRON_REQUIRE_FIELD(requestCapacity, 0, kMaxCapacity);
  ISOCHRON_REQUIRE_FIELD(pieceCapacity, 0, kMaxCapacity);
  ISOCHRON_REQUIRE_FIELD(mergeCapacity, 0, kMaxCapacity);
  ISOCHRON_REQUIRE_FIELD(mergeSourceCapacity, 0, kMaxCapacity);
  ISOCHRON_REQUIRE_FIELD(partialSlotCapacity, 0, kMaxCapacity);
  ISOCHRON_REQUIRE_FIELD(groupCapacity, 0, kMaxCapacity);
  ISOCHRON_REQUIRE_FIELD(groupMemberCapacity, 0, kMaxCapacity);
  const PlanOffsets at = planOffsets(words);
  ISOCHRON_REQUIRE_FIELD(requestsOffset, at.requests, at.requests);
  ISOCHRON_REQUIRE_FIELD(workerPieceIndptrOffset, at.workerPieceIndptr, at.workerPieceIndptr);
  ISOCHRON_REQUIRE_FIELD(workerMergeIndptrOffset, at.workerMergeIndptr, at.workerMergeIndptr);
  ISOCHRON_REQUIRE_FIELD(groupIndptrOffset, at.groupIndptr, at.groupIndptr);
  ISOCHRON_REQUIRE_FIELD(groupMembersOffset, at.groupMembers, at.groupMembers);
  ISOCHRON_REQUIRE_FIELD(groupRangesOffset, at.groupRanges, at.groupRanges);
  ISOCHRON_REQUIRE_FIELD(mergesOffset, at.merges, at.merges);
  ISOCHRON_REQUIRE_FIELD(mergeSourcesOffset, at.mergeSources, at.mergeSources);
  ISOCHRON_REQUIRE_FIELD(piecesOffset, at.pieces, at.pieces);
  ISOCHRON_REQUIRE_FIELD(totalBytes, at.total, at.total);
  if (int64_t(bytes) < at.total) {
    return fail("buffer.byteLength", -1, int64_t(bytes), "at least " + std::to_string(at.total));
  }

  ISOCHRON_REQUIRE_FIELD(requestCount, 0, words[header::requestCapacity]);
  ISOCHRON_REQUIRE_FIELD(pieceRecordCount, 0, words[header::pieceCapacity]);
  ISOCHRON_REQUIRE_FIELD(mergeCount, 0, words[header::mergeCapacity]);
  ISOCHRON_REQUIRE_FIELD(mergeSourceCount, 0, words[header::mergeSourceCapacity]);
  ISOCHRON_REQUIRE_FIELD(partialSlotCount, 0, words[header::partialSlotCapacity]);
  ISOCHRON_REQUIRE_FIELD(splitJobCount, 0, words[header::mergeCount]);
  ISOCHRON_REQUIRE_FIELD(groupCount, 0, words[header::groupCapacity]);
  ISOCHRON_REQUIRE_FIELD(groupMemberCount, 0, words[header::groupMemberCapacity]);
  ISOCHRON_REQUIRE_FIELD(workers, 0, words[header::workerCapacity]);
  ISOCHRON_REQUIRE_FIELD(usedBytes, at.pieces + int64_t(words[header::pieceRecordCount]) * piece::stride * 4, at.total);
  ISOCHRON_REQUIRE_FIELD(launch, 0, 1);
  ISOCHRON_REQUIRE_FIELD(mergeLaunch, 0, 2);
  ISOCHRON_REQUIRE_FIELD(mergeOrder, 0, 1);
  ISOCHRON_REQUIRE_FIELD(queryHeads, 1, 65535);
  ISOCHRON_REQUIRE_FIELD(kvHeads, 1, words[header::queryHeads]);
  if (words[header::queryHeads] % words[header::kvHeads] != 0) {
    return fail("header.kvHeads", -1, words[header::kvHeads], "a divisor of queryHeads");
  }
  const int32_t group = words[header::queryHeads] / words[header::kvHeads];
  const int32_t packed = words[header::packedHeads];
  if (packed != 1 && packed != group) return fail("header.packedHeads", -1, packed, "1 or " + std::to_string(group));
  ISOCHRON_REQUIRE_FIELD(headDim, 1, 1024);
  ISOCHRON_REQUIRE_FIELD(valueHeadDim, 1, 1024);
  ISOCHRON_REQUIRE_FIELD(dtype, 0, 2);
  ISOCHRON_REQUIRE_FIELD(kvDtype, 0, 4);
  ISOCHRON_REQUIRE_FIELD(pageSize, 1, 256);
  ISOCHRON_REQUIRE_FIELD(maskKind, 0, 2);
  ISOCHRON_REQUIRE_FIELD(window, words[header::maskKind] == 2 ? 1 : 0, kMaxTokens);
  ISOCHRON_REQUIRE_FIELD(sinks, 0, 1);
  ISOCHRON_REQUIRE_FIELD(slotRows, 0, 32767);
  const bool isCanonical = words[header::mergeOrder] == int(MergeOrder::canonicalTree);
  if (isCanonical) {
    if (words[header::groupCount] != 0) {
      return fail("header.groupCount", -1, words[header::groupCount], "0: no kernel has canonical merge trees of shared prefixes");
    }
    ISOCHRON_REQUIRE_FIELD(mergeGridTokens, kKernelTileTokens, 1 << 16);
    if (words[header::mergeGridTokens] % kKernelTileTokens != 0) {
      return fail("header.mergeGridTokens", -1, words[header::mergeGridTokens], "a multiple of " + std::to_string(kKernelTileTokens));
    }
  }

  const PlanView plan{words};
  const int32_t heads = plan.heads();
  const int32_t requestCount = plan[header::requestCount];
  const int64_t pageSize = plan[header::pageSize];
  for (int i = 0; i < requestCount; i++) {
    const int32_t* r = plan.request(i);
    ISOCHRON_REQUIRE("requests.qoLen", i, r[request::qoLen], 0, limits.queryTokens);
    ISOCHRON_REQUIRE("requests.queryStart", i, r[request::queryStart], 0, limits.queryTokens - r[request::qoLen]);
    ISOCHRON_REQUIRE("requests.kvLen", i, r[request::kvLen], 0, kMaxTokens);
    const int64_t pages = (int64_t(r[request::kvLen]) + pageSize - 1) / pageSize;
    if (pages > 0) ISOCHRON_REQUIRE("requests.pageStart", i, r[request::pageStart], 0, limits.pageTableLength - pages);
    if (int64_t(r[request::qoLen]) * packed > kMaxTokens) {
      return fail("requests.qoLen", i, r[request::qoLen], "packed rows within int32");
    }
  }

  auto checkIndptr = [&](const char* field, const int32_t* indptr, int32_t count, int32_t total) {
    if (indptr[0] != 0) return fail(field, 0, indptr[0], "0");
    for (int i = 0; i < count; i++) {
      if (indptr[i + 1] < indptr[i] || indptr[i + 1] > total) {
        return fail(field, i + 1, indptr[i + 1], range(indptr[i], total));
      }
    }
    return indptr[count] == total || fail(field, count, indptr[count], std::to_string(total));
  };
  if (!checkIndptr("workerPieceIndptr", plan.workerPieceIndptr(), plan[header::workers], plan[header::pieceRecordCount])) {
    return false;
  }
  if (!checkIndptr("groupIndptr", plan.groupIndptr(), plan[header::groupCount], plan[header::groupMemberCount])) return false;
  scratch.groupRows.assign(plan[header::groupCount], 0);
  for (int g = 0; g < plan[header::groupCount]; g++) {
    const int32_t begin = plan.groupIndptr()[g], end = plan.groupIndptr()[g + 1];
    if (begin == end) return fail("groupIndptr", g + 1, end, "at least one member");
    const int32_t* shared = plan.groupRange(g);
    for (int m = begin; m < end; m++) {
      const int32_t member = plan.groupMembers()[m];
      ISOCHRON_REQUIRE("groupMembers", m, member, 0, requestCount - 1);
      const int32_t* owner = plan.request(member);
      ISOCHRON_REQUIRE("groupRanges.kvEnd", g, shared[group_range::kvEnd], 1, owner[request::kvLen] - owner[request::qoLen]);
      ISOCHRON_REQUIRE("groupRanges.kvStart", g, shared[group_range::kvStart], 0, shared[group_range::kvEnd] - 1);
      scratch.groupRows[g] += int64_t(plan.request(member)[request::qoLen]) * packed;
    }
  }

  const int32_t slots = plan[header::partialSlotCount];
  scratch.slotWriter.assign(slots, -1);
  for (int i = 0; i < plan[header::pieceRecordCount]; i++) {
    const int32_t* p = plan.piece(i);
    const int32_t owner = p[piece::request];
    ISOCHRON_REQUIRE("pieces.request", i, owner, -plan[header::groupCount], requestCount - 1);
    ISOCHRON_REQUIRE("pieces.headCount", i, p[piece::headCount], 1, heads);
    ISOCHRON_REQUIRE("pieces.head", i, p[piece::head], 0, heads - p[piece::headCount]);
    const int32_t validRows = p[piece::rows] & 0xffff, tileRows = int32_t(uint32_t(p[piece::rows]) >> 16);
    ISOCHRON_REQUIRE("pieces.tileRows", i, tileRows, 1, 32767);
    ISOCHRON_REQUIRE("pieces.validRows", i, validRows, 1, tileRows);
    const int64_t ownerRows =
        owner < 0 ? scratch.groupRows[-1 - owner] : int64_t(plan.request(owner)[request::qoLen]) * packed;
    ISOCHRON_REQUIRE("pieces.rowStart", i, p[piece::rowStart], 0, ownerRows - validRows);
    ISOCHRON_REQUIRE("pieces.kvStart", i, p[piece::kvStart], 0, kMaxTokens);
    ISOCHRON_REQUIRE("pieces.kvEnd", i, p[piece::kvEnd], p[piece::kvStart], kMaxTokens);
    if (owner < 0) {
      const int32_t* shared = plan.groupRange(-1 - owner);
      ISOCHRON_REQUIRE("pieces.kvStart", i, p[piece::kvStart], shared[group_range::kvStart], shared[group_range::kvEnd]);
      ISOCHRON_REQUIRE("pieces.kvEnd", i, p[piece::kvEnd], p[piece::kvStart], shared[group_range::kvEnd]);
      if (p[piece::slot] < 0) return fail("pieces.slot", i, p[piece::slot], "a partial slot, because the piece is a group's");
    }
    if (isCanonical) {
      // Nodes are counted from the piece's own range, which must therefore be the range that runs.
      ISOCHRON_REQUIRE("pieces.kvEnd", i, p[piece::kvEnd], p[piece::kvStart], plan.request(owner)[request::kvLen]);
    }
    if (p[piece::slot] == -1) continue;
    const int64_t states = int64_t(p[piece::headCount]) * partialStates(plan, p);
    ISOCHRON_REQUIRE("pieces.slot", i, p[piece::slot], 0, slots - states);
    if (validRows > plan[header::slotRows]) return fail("pieces.validRows", i, validRows, range(1, plan[header::slotRows]));
    for (int s = 0; s < states; s++) {
      int32_t& writer = scratch.slotWriter[p[piece::slot] + s];
      if (writer != -1) return fail("pieces.slot", i, p[piece::slot] + s, "a slot that no other piece writes");
      writer = i;
    }
  }
  for (int s = 0; s < slots; s++) {
    if (scratch.slotWriter[s] == -1) return fail("partialSlots", s, -1, "exactly one piece that writes it");
  }

  if (!checkIndptr("workerMergeIndptr", plan.workerMergeIndptr(), plan[header::workers], plan[header::mergeCount])) {
    return false;
  }
  // Slots that some merge reads are marked by −2 − writer; merges of one job must be consecutive.
  const int32_t jobs = plan[header::splitJobCount];
  scratch.jobSeen.assign(jobs, 0);
  if (isCanonical) scratch.slotJob.assign(slots, -1);
  int32_t previousJob = -1;
  int64_t sourcesRead = 0;
  for (int i = 0; i < plan[header::mergeCount]; i++) {
    const int32_t* m = plan.merge(i);
    ISOCHRON_REQUIRE("merges.request", i, m[merge::request], 0, requestCount - 1);
    ISOCHRON_REQUIRE("merges.head", i, m[merge::head], 0, heads - 1);
    const int64_t rows = int64_t(plan.request(m[merge::request])[request::qoLen]) * packed;
    ISOCHRON_REQUIRE("merges.rowCount", i, m[merge::rowCount], 1, rows);
    ISOCHRON_REQUIRE("merges.rowStart", i, m[merge::rowStart], 0, rows - m[merge::rowCount]);
    ISOCHRON_REQUIRE("merges.sourceStart", i, m[merge::sourceStart], 0, plan[header::mergeSourceCount]);
    ISOCHRON_REQUIRE("merges.sourceEnd", i, m[merge::sourceEnd], int64_t(m[merge::sourceStart]) + 1,
                     plan[header::mergeSourceCount]);
    sourcesRead += m[merge::sourceEnd] - m[merge::sourceStart];
    if (sourcesRead > plan[header::mergeSourceCount]) {
      return fail("merges.sourceEnd", i, m[merge::sourceEnd], "sources that no other merge reads");
    }
    ISOCHRON_REQUIRE("merges.splitJob", i, m[merge::splitJob], 0, jobs - 1);
    if (m[merge::splitJob] != previousJob) {
      if (scratch.jobSeen[m[merge::splitJob]]) {
        return fail("merges.splitJob", i, m[merge::splitJob], "merges of one job next to each other");
      }
      scratch.jobSeen[m[merge::splitJob]] = 1;
      previousJob = m[merge::splitJob];
    }
    for (int s = m[merge::sourceStart]; s < m[merge::sourceEnd]; s++) {
      const int32_t* source = plan.source(s);
      ISOCHRON_REQUIRE("mergeSources.slot", s, source[merge_source::slot], 0, slots - 1);
      ISOCHRON_REQUIRE("mergeSources.slotRow", s, source[merge_source::slotRow], 0,
                       int64_t(plan[header::slotRows]) - m[merge::rowCount]);
      int32_t& writer = scratch.slotWriter[source[merge_source::slot]];
      if (writer >= 0) writer = -2 - writer;
      if (isCanonical) {
        int32_t& job = scratch.slotJob[source[merge_source::slot]];
        if (job >= 0 && job != m[merge::splitJob]) {
          return fail("mergeSources.slot", s, source[merge_source::slot], "a node that one job alone reads");
        }
        job = m[merge::splitJob];
      }
    }
  }
  for (int s = 0; s < slots; s++) {
    if (scratch.slotWriter[s] >= 0) return fail("partialSlots", s, -1, "at least one merge that reads it");
  }
  for (int i = 0; isCanonical && i < plan[header::pieceRecordCount]; i++) {
    const int32_t* p = plan.piece(i);
    const int32_t states = partialStates(plan, p);
    for (int s = 0; p[piece::slot] >= 0 && s < states * p[piece::headCount]; s++) {
      const int32_t slot = p[piece::slot] + s;
      if (scratch.slotJob[slot] != scratch.slotJob[slot - s % states]) {
        return fail("pieces.slot", i, slot, "nodes of one piece read by one job");
      }
    }
  }
  return true;
#undef ISOCHRON_REQUIRE
#undef ISOCHRON_REQUIRE_FIELD
}

}  // namespace isochron
