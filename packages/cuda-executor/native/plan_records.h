// The records that the kernels read: what plan_image.h makes of a plan.
#pragma once
#include <cstdint>

#ifndef __CUDACC__
#define ISOCHRON_DEVICE_ALIGN(n) alignas(n)
#define ISOCHRON_DEVICE
#else
#define ISOCHRON_DEVICE_ALIGN(n) __align__(n)
#define ISOCHRON_DEVICE __host__ __device__
#endif

namespace isochron {

/** PieceRecord::job: the slot is counted with the worker's first unit, which whoever counts last does. */
constexpr int32_t kAtWorkersEnd = -2;
/** PieceRecord::job from here down: the job is kFirstAwaited − job, whose merge waits for the slot's rows themselves. */
constexpr int32_t kFirstAwaited = -3;
/** Rows of a place where rows are waited for. */
constexpr int32_t kAwaitedRows = 16;

/** One piece record with its request: 64 bytes, four 16-byte loads. */
struct ISOCHRON_DEVICE_ALIGN(16) PieceRecord {
  int32_t queryStart, qoLen, kvLen, pageStart;
  int32_t head, headCount, rowStart, rows;  // rows: valid rows in the low 16 bits, rows of the tile in the high 16
  int32_t kvStart, kvEnd, slot, firstPiece;  // firstPiece: pieces before this record
  int32_t memberStart, memberCount, slotJobStart;  // of a group; first entry of slotJobs for the first slot, or awaitedPlace
  int32_t job;  // where one head's slot feeds one job alone: that job, or as kAtWorkersEnd and kFirstAwaited say; else −1

  ISOCHRON_DEVICE int validRows() const { return rows & 0xffff; }
  ISOCHRON_DEVICE bool tall() const { return rows > (16 << 16 | 0xffff); }
  ISOCHRON_DEVICE bool isAwaited() const { return job <= kFirstAwaited; }
  /** Where its rows are waited for: sources of a job side by side, in their order. */
  ISOCHRON_DEVICE int awaitedPlace() const { return slotJobStart; }
};

/** Pieces [start, end) and merge units of one worker, and a copy of the first piece. */
struct ISOCHRON_DEVICE_ALIGN(16) WorkerRecord {
  int32_t start, end, unitStart, unitEnd;
  int32_t starters;      // workers of the plan that have pieces, where one of them may wait for another's; else 0
  int32_t awaitedStart;  // units from here on are AwaitedUnits
  int32_t worker;        // of the plan: pair_order.h moves rows
  int32_t reserved;
  PieceRecord first;
};

/** A row with more sources is divided into kSlices units by its columns. */
constexpr int32_t kUnitSources = 64;
constexpr int32_t kSlices = 4;

/** Rows [rowStart, rowStart + rowCount) of one merge, or a slice of one row's columns: merge_units.h. */
struct ISOCHRON_DEVICE_ALIGN(16) MergeUnit {
  int32_t job, arrivals, units, merge;  // arrivals: slots that complete the job; units: those of the job, 0: whoever counts last does it
  int32_t queryStart, head, rowStart, rowCount;
  int32_t sources, slice, rowOffset;  // slice: −1 for all columns; rowOffset: row of the merge
  uint32_t leaves;  // canonical trees: which leaves of a perfect tree of 32 the sources are (canonical_units.h); 0: folds are listed
  /**
   * Partial row of source s, row 0 of the merge: s × slotRows more than firstRow, from source firstRun on secondRow; or,
   * where list ≥ 0, what the source records from `list` on say.
   */
  int32_t firstRun, firstRow, secondRow, list;
};

/**
 * Parts [firstPart, firstPart + parts) of a merge whose rows are waited for: awaited_units.h. Part i is row i / slices of the merge
 * and, of its columns, slice i % slices, where a slice is 4 << lanesLog2 columns.
 */
struct ISOCHRON_DEVICE_ALIGN(16) AwaitedUnit {
  int32_t merge, queryStart, head, rowStart;
  int32_t place, sources;  // the first source's place; they are side by side
  int32_t loads, lanesLog2;
  int32_t firstPart, parts;
  uint32_t leaves;  // canonical trees: as MergeUnit::leaves
  int32_t reserved[5];
};

/** A worker's units lie side by side, those that are counted first. */
union UnitRecord {
  MergeUnit counted;
  AwaitedUnit awaited;
};
static_assert(sizeof(UnitRecord) == sizeof(MergeUnit) && sizeof(UnitRecord) == sizeof(AwaitedUnit));

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

}  // namespace isochron
