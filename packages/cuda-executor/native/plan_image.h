// What the kernel reads: the plan's records, each joined with the request fields that it would otherwise look up.
//
// Every dependent look-up costs a trip to L2 (about 0.3 µs, a tenth of a small launch), so a worker finds its first piece,
// complete, at an address that depends on its index alone. Same pieces, same merges, same order as in the plan; sections lie
// at offsets that depend on the capacities alone: first workers and pieces, of which the used prefix is copied; then the
// lists of jobs, merges and members, copied only for plans with jobs that a piece cannot describe by itself (groups).
#pragma once
#include <cstdint>
#include <cstring>
#include <vector>

#ifndef __CUDACC__
#define ISOCHRON_DEVICE_ALIGN(n) alignas(n)
#define ISOCHRON_DEVICE
#else
#define ISOCHRON_DEVICE_ALIGN(n) __align__(n)
#define ISOCHRON_DEVICE __host__ __device__
#endif

#include "plan_view.h"

namespace isochron {

/** One piece record with its request: 80 bytes, five 16-byte loads. */
struct ISOCHRON_DEVICE_ALIGN(16) PieceRecord {
  int32_t queryStart, qoLen, kvLen, pageStart;
  int32_t head, headCount, rowStart, rows;  // rows: valid rows in the low 16 bits, rows of the tile in the high 16
  int32_t kvStart, kvEnd, slot, firstPiece;  // firstPiece: pieces before this record
  int32_t memberStart, memberCount, slotJobStart;  // of a group; first entry of slotJobs for the first slot
  /**
   * Where one head's slot feeds one job alone: the job, the slots that complete it, its merges, and the first of its
   * slots where they are consecutive and hold the same rows as this one (else −1). Otherwise job is −1.
   */
  int32_t job, arrivals, mergeStart, mergeEnd, firstSlot;

  ISOCHRON_DEVICE int validRows() const { return rows & 0xffff; }
  ISOCHRON_DEVICE bool tall() const { return rows > (16 << 16 | 0xffff); }
};

/** Pieces [start, end) of one worker, and a copy of the first. */
struct ISOCHRON_DEVICE_ALIGN(16) WorkerRecord {
  int32_t start, end, reserved0, reserved1;
  PieceRecord first;
};

/** Merges [mergeStart, mergeEnd) may run once `arrivals` slots have been written. */
struct ISOCHRON_DEVICE_ALIGN(16) JobRecord {
  int32_t mergeStart, mergeEnd, arrivals, firstSlot;  // firstSlot: see firstSlotOfPlainJob
};

/** Rows of one request's head, and the sources that combine into them. */
struct ISOCHRON_DEVICE_ALIGN(16) MergeRecord {
  int32_t queryStart, head, rowStart, rowCount;
  int32_t sourceStart, sourceEnd, reserved0, reserved1;
};

/**
 * Canonical trees: the low 16 bits of `slotRow` are the row, the high ones the number of nodes on the stack that this
 * node merges with, from the right, before the next one comes.
 */
struct SourceRecord {
  int32_t slot, slotRow;
};

/** A member of a shared-prefix group: its rows follow `rowBegin` of the group's packed rows. */
struct ISOCHRON_DEVICE_ALIGN(16) MemberRecord {
  int32_t rowBegin, queryStart, rows, reserved;
};

/** Byte offsets of the image's sections. */
struct ImageLayout {
  int64_t workers, pieces, jobs, slotJobIndptr, slotJobs, merges, sources, members, total;
};

inline ImageLayout imageLayout(const int32_t* planHeader) {
  int64_t end = 0;
  auto place = [&end](int64_t bytes) {
    const int64_t start = end;
    end += (bytes + 15) / 16 * 16;
    return start;
  };
  ImageLayout at{};
  at.workers = place(int64_t(planHeader[header::workerCapacity]) * sizeof(WorkerRecord));
  at.pieces = place(int64_t(planHeader[header::pieceCapacity]) * sizeof(PieceRecord));
  at.jobs = place(int64_t(planHeader[header::mergeCapacity]) * sizeof(JobRecord));
  at.slotJobIndptr = place((int64_t(planHeader[header::partialSlotCapacity]) + 1) * 4);
  at.slotJobs = place(int64_t(planHeader[header::mergeSourceCapacity]) * 4);
  at.merges = place(int64_t(planHeader[header::mergeCapacity]) * sizeof(MergeRecord));
  at.sources = place(int64_t(planHeader[header::mergeSourceCapacity]) * sizeof(SourceRecord));
  at.members = place(int64_t(planHeader[header::groupMemberCapacity]) * sizeof(MemberRecord));
  at.total = end;
  return at;
}

/** Kept between plans so that building an image allocates nothing. */
struct ImageScratch {
  std::vector<int32_t> slotLastJob, slotJobCount;
  /** Canonical trees: first chunk of each slot's node; and whether the slot is the first of a piece's head. */
  std::vector<int32_t> slotChunk;
  std::vector<uint8_t> slotIsFirst;
};

/** Canonical trees: where each slot's node begins, and which slots announce that a piece's head is done. */
inline void locateNodes(const PlanView& plan, ImageScratch& scratch) {
  const int32_t slots = plan[header::partialSlotCount], grid = plan[header::mergeGridTokens];
  scratch.slotChunk.assign(slots, 0);
  scratch.slotIsFirst.assign(slots, 0);
  for (int i = 0; i < plan[header::pieceRecordCount]; i++) {
    const int32_t* p = plan.piece(i);
    int32_t slot = p[piece::slot];
    if (slot < 0) continue;
    const int32_t states = partialStates(plan, p), end = (p[piece::kvEnd] + grid - 1) / grid;
    for (int h = 0; h < p[piece::headCount]; h++) {
      scratch.slotIsFirst[slot] = 1;
      int32_t chunk = p[piece::kvStart] / grid;
      for (int s = 0; s < states; s++, slot++) {
        int32_t size = 1;
        while (chunk % (2 * size) == 0 && chunk + 2 * size <= end) size *= 2;
        scratch.slotChunk[slot] = chunk;
        chunk += size;
      }
    }
  }
}

/**
 * How the sources of a merge fold into the canonical tree: a Cartesian tree over the levels at which neighbours meet. The
 * levels on the stack fall strictly, whatever a hostile plan lists, so it is never deeper than 14 nodes.
 */
inline void listFolds(const PlanView& plan, const ImageScratch& scratch, const int32_t* m, SourceRecord* sources) {
  int32_t stack[64];
  int depth = 0;
  auto meets = [](int32_t a, int32_t b) {
    int level = -1;
    for (uint32_t x = uint32_t(a ^ b); x != 0; x >>= 1) level++;
    return level;
  };
  for (int s = m[merge::sourceStart]; s < m[merge::sourceEnd]; s++) {
    int32_t folds = 0;
    stack[depth++] = scratch.slotChunk[plan.source(s)[merge_source::slot]];
    const bool isLast = s + 1 == m[merge::sourceEnd];
    const int32_t next = isLast ? 0 : scratch.slotChunk[plan.source(s + 1)[merge_source::slot]];
    while (depth > 1 && (isLast || meets(stack[depth - 2], stack[depth - 1]) <= meets(stack[depth - 1], next))) {
      depth--;
      folds++;
    }
    sources[s].slotRow |= folds << 16;
  }
}

/**
 * The first slot of a job whose merges read the same consecutive slots in order, each row from the same row of a slot, and
 * cover one run of rows; −1 for any other job.
 */
inline int32_t firstSlotOfPlainJob(const PlanView& plan, const JobRecord& job) {
  const int32_t* first = plan.merge(job.mergeStart);
  const int32_t firstSlot = plan.source(first[merge::sourceStart])[merge_source::slot];
  int32_t row = 0;
  for (int m = job.mergeStart; m < job.mergeEnd; m++) {
    const int32_t* merge = plan.merge(m);
    const int32_t sources = merge[merge::sourceEnd] - merge[merge::sourceStart];
    if (merge[merge::request] != first[merge::request] || merge[merge::head] != first[merge::head] ||
        merge[merge::rowStart] != first[merge::rowStart] + row || sources != job.arrivals) {
      return -1;
    }
    for (int s = 0; s < sources; s++) {
      const int32_t* source = plan.source(merge[merge::sourceStart] + s);
      if (source[merge_source::slot] != firstSlot + s || source[merge_source::slotRow] != row) return -1;
    }
    row += merge[merge::rowCount];
  }
  return firstSlot;
}

/** Bytes to copy: the prefix, and the range of the lists where some piece needs them (else empty). */
struct ImageUse {
  int64_t prefixBytes, listStart, listBytes;
};

/** Writes the image of a checked plan into `out` (imageLayout(…).total bytes). */
inline ImageUse buildImage(const PlanView& plan, const ImageLayout& at, ImageScratch& scratch, uint8_t* out) {
  const int32_t workerCapacity = plan[header::workerCapacity], workers = plan[header::workers];
  const int32_t packed = plan[header::packedHeads], slots = plan[header::partialSlotCount];
  auto* jobs = reinterpret_cast<JobRecord*>(out + at.jobs);
  auto* indptr = reinterpret_cast<int32_t*>(out + at.slotJobIndptr);
  auto* slotJobs = reinterpret_cast<int32_t*>(out + at.slotJobs);
  auto* merges = reinterpret_cast<MergeRecord*>(out + at.merges);
  auto* sources = reinterpret_cast<SourceRecord*>(out + at.sources);
  auto* members = reinterpret_cast<MemberRecord*>(out + at.members);
  auto* pieces = reinterpret_cast<PieceRecord*>(out + at.pieces);
  auto* table = reinterpret_cast<WorkerRecord*>(out + at.workers);

  const bool isCanonical = plan[header::mergeOrder] == int(MergeOrder::canonicalTree);
  if (isCanonical) locateNodes(plan, scratch);
  // Jobs of each slot, in CSR form: two passes over the merges, counting each (slot, job) pair once.
  scratch.slotLastJob.assign(slots, -1);
  scratch.slotJobCount.assign(slots + 1, 0);
  for (int j = 0; j < plan[header::splitJobCount]; j++) jobs[j] = {0, 0, 0, 0};
  auto forEachPair = [&](auto&& visit) {
    for (int i = 0; i < plan[header::mergeCount]; i++) {
      const int32_t* m = plan.merge(i);
      const int32_t job = m[merge::splitJob];
      for (int s = m[merge::sourceStart]; s < m[merge::sourceEnd]; s++) {
        const int32_t slot = plan.source(s)[merge_source::slot];
        if (scratch.slotLastJob[slot] == job || (isCanonical && scratch.slotIsFirst[slot] == 0)) continue;
        scratch.slotLastJob[slot] = job;
        visit(slot, job);
      }
    }
  };
  forEachPair([&](int32_t slot, int32_t job) {
    scratch.slotJobCount[slot]++;
    jobs[job].arrivals++;
  });
  int32_t sum = 0;
  for (int s = 0; s < slots; s++) {
    indptr[s] = sum;
    sum += scratch.slotJobCount[s];
    scratch.slotJobCount[s] = indptr[s];
    scratch.slotLastJob[s] = -1;
  }
  indptr[slots] = sum;
  forEachPair([&](int32_t slot, int32_t job) { slotJobs[scratch.slotJobCount[slot]++] = job; });

  for (int i = 0; i < plan[header::mergeCount]; i++) {
    const int32_t* m = plan.merge(i);
    JobRecord& job = jobs[m[merge::splitJob]];
    if (job.mergeEnd == 0) job.mergeStart = i;
    job.mergeEnd = i + 1;
    merges[i] = {plan.request(m[merge::request])[request::queryStart], m[merge::head], m[merge::rowStart],
                 m[merge::rowCount], m[merge::sourceStart], m[merge::sourceEnd], 0, 0};
  }
  for (int j = 0; j < plan[header::splitJobCount]; j++) {
    jobs[j].firstSlot = jobs[j].mergeEnd > 0 && !isCanonical ? firstSlotOfPlainJob(plan, jobs[j]) : -1;
  }
  std::memcpy(sources, plan.source(0), size_t(plan[header::mergeSourceCount]) * sizeof(SourceRecord));
  if (isCanonical) {
    for (int i = 0; i < plan[header::mergeCount]; i++) listFolds(plan, scratch, plan.merge(i), sources);
  }

  for (int g = 0; g < plan[header::groupCount]; g++) {
    int32_t row = 0;
    for (int m = plan.groupIndptr()[g]; m < plan.groupIndptr()[g + 1]; m++) {
      const int32_t* r = plan.request(plan.groupMembers()[m]);
      members[m] = {row, r[request::queryStart], r[request::qoLen] * packed, 0};
      row += members[m].rows;
    }
  }

  int32_t firstPiece = 0;
  bool needsLists = false;
  for (int i = 0; i < plan[header::pieceRecordCount]; i++) {
    const int32_t* p = plan.piece(i);
    const int32_t owner = p[piece::request];
    const bool group = owner < 0;
    const int32_t memberStart = group ? plan.groupIndptr()[-1 - owner] : 0;
    const int32_t memberCount = group ? plan.groupIndptr()[-owner] - memberStart : 0;
    const int32_t* r = plan.request(group ? plan.groupMembers()[memberStart] : owner);
    const int32_t kvEnd = p[piece::kvEnd] < r[request::kvLen] ? p[piece::kvEnd] : r[request::kvLen];
    const int32_t slot = p[piece::slot];
    PieceRecord& record = pieces[i];
    record = {r[request::queryStart], r[request::qoLen], r[request::kvLen], r[request::pageStart],
              p[piece::head], p[piece::headCount], p[piece::rowStart], p[piece::rows],
              // On a grid, tiles begin at multiples of their length; the mask hides tokens before the window.
              isCanonical ? p[piece::kvStart] / kKernelTileTokens * kKernelTileTokens : p[piece::kvStart], kvEnd > p[piece::kvStart] ? kvEnd : p[piece::kvStart], slot, firstPiece,
              memberStart, memberCount, slot < 0 ? 0 : indptr[slot], -1, 0, 0, 0, -1};
    if (slot >= 0 && record.headCount == 1 && indptr[slot + 1] == indptr[slot] + 1) {
      record.job = slotJobs[indptr[slot]];
      const JobRecord& job = jobs[record.job];
      record.arrivals = job.arrivals;
      record.mergeStart = job.mergeStart;
      record.mergeEnd = job.mergeEnd;
      const int32_t *first = plan.merge(job.mergeStart), *last = plan.merge(job.mergeEnd - 1);
      const int32_t rows = last[merge::rowStart] + last[merge::rowCount] - first[merge::rowStart];
      const bool same = first[merge::request] == owner && first[merge::head] == record.head &&
                        first[merge::rowStart] == record.rowStart && rows == record.validRows();
      record.firstSlot = same ? job.firstSlot : -1;
    }
    needsLists |= group || (slot >= 0 && record.firstSlot < 0);
    firstPiece += record.headCount;
  }
  const int32_t* workerPieces = plan.workerPieceIndptr();
  for (int w = 0; w < workerCapacity; w++) {
    const int32_t start = w < workers ? workerPieces[w] : 0, end = w < workers ? workerPieces[w + 1] : 0;
    table[w].start = start;
    table[w].end = end;
    table[w].reserved0 = table[w].reserved1 = 0;
    if (start < end) table[w].first = pieces[start];
  }
  const int64_t prefixBytes = at.pieces + int64_t(plan[header::pieceRecordCount]) * int64_t(sizeof(PieceRecord));
  return {prefixBytes, at.jobs, needsLists ? at.total - at.jobs : 0};
}

}  // namespace isochron
