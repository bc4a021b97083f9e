// What one attention launch is given. Pointers and strides depend on the capture alone; everything that changes from plan
// to plan is read from the image (plan_image.h).
#pragma once
#include <cstdint>

#include "../plan_records.h"

namespace isochron {

/** When and where one piece or merge ran. Times in nanoseconds of the device's global timer. */
struct TraceRecord {
  uint64_t startNs, endNs;
  uint32_t sm, worker;
  /** SM cycles since the CTA began: a piece's first KV tile is there, its last is consumed, its rows are written, its
   *  arrival is counted; for merges, begin and end in the first two. */
  uint32_t cycles[4];
};

struct AttentionParams {
  const void* query;           // [query tokens, queryHeads, headDim]
  const void* key;             // paged; strides in bytes below, the same for value
  const void* value;
  void* output;                // [query tokens, queryHeads, headDim]
  float* lse;                  // [query tokens, queryHeads], natural logarithm
  const float* sinks;          // [queryHeads], natural-log units; null for none
  const int32_t* pageIndices;
  const WorkerRecord* workers;
  const int32_t* slotJobIndptr;
  const int32_t* slotJobs;
  const SourceRecord* sources;
  const MemberRecord* members;
  const PieceRecord* pieces;
  const UnitRecord* units;
  float* partialOutput;        // [slot][slotRows][headDim], unnormalised
  float2* partialState;        // [slot][slotRows]: maximum (base-2 logits) and sum of exponentials
  float* awaitedOutput;        // [place][kAwaitedRows][headDim], as partialOutput; kUnwritten between launches (awaited_rows.cuh)
  float2* awaitedState;        // [place][kAwaitedRows][headDim / 8]
  int32_t* counters;           // [job], slots written so far, then units begun; 0 between launches
  uint32_t* progress;          // workers that began, and those that left units: merge_units.cuh
  int32_t* leftUnits;          // [worker], the first unit that it left, or −1; all −1 between launches
  int32_t* leftParts;          // [worker][4 warps], the same of units by parts
  TraceRecord* pieceTrace;     // null where the launch is not timed
  TraceRecord* mergeTrace;
  int64_t pageStride;
  int32_t tokenStride, headStride;
  int32_t queryHeads, packedHeads, groupSize, pageSize, slotRows;
  uint32_t packedHeadsReciprocal;  // 2^32 / packedHeads, rounded down; 2^32 − 1 for 1: divides packed rows (tokenOf)
  int32_t pageShift;           // log₂ of the page size; −1 where that is no whole number
  int32_t causal, window;      // window 0: no window
  int32_t pages;               // of the cache
  int32_t pairs;               // tallKernel: CTA c of so many does rows c and c + pairs of `workers`
  int32_t workerCount;         // of this launch and every other of the session
  int32_t mergePatience;       // looks for a slot before a worker leaves its units; 0: a launch of its own does all units
  int32_t historyIsReady;      // KV tokens before a request's query tokens were written before the previous launch began
  float scaleLog2;             // softmax scale × log2 e
  float softCapLog2;           // soft cap × log2 e; 0 for none
  float scaleOverSoftCap;      // 2 × softmax scale / soft cap × log2 e
};

}  // namespace isochron
