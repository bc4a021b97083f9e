// The softmax state of 16 query rows in a warp's registers: S = Q·Kᵀ and O += P·V on m16n8k16 tensor cores, online softmax in base 2.
#pragma once
#include "query_rows.cuh"
#include "shape.cuh"

namespace isochron {

/** Softmax state of 16 query rows, spread over a warp as m16n8 accumulators: rows lane / 4 and lane / 4 + 8. */
template <class T, int D>
struct RowBlock {
  uint32_t q[D / 16][4];
  float o[D / 8][4];
  float maximum[2], sum[2];
  int low[2], high[2];     // visible KV tokens [low, high) of the two rows
  int commonLow, commonHigh;  // visible to all 16 rows
  int anyHigh;             // nothing at or past it is visible to any row

  /** Brings the query rows to L2, where later writes by others still reach them. */
  __device__ __forceinline__ void prefetchQuery(const AttentionParams& p, const PieceRecord& piece, int head, int rowBase, int lane) {
    if (lane < 16 && rowBase + lane < piece.validRows()) {
      const char* row = static_cast<const char*>(p.query) + locateRow(p, piece, head, rowBase + lane).tokenHead * (D * 2);
#pragma unroll
      for (int byte = 0; byte < D * 2; byte += 128) ptx::prefetchL2(row + byte);
    }
  }

  /** Loads the query rows [rowBase, rowBase + 16) of the piece; rows past its end are zeros. */
  __device__ __forceinline__ void loadQuery(const AttentionParams& p, const PieceRecord& piece, int head, int rowBase, int lane) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int row = rowBase + (lane >> 2) + 8 * half;
      const bool valid = row < piece.validRows();
      low[half] = 0;
      high[half] = piece.kvEnd;
      if (valid) {
        const RowAddress at = locateRow(p, piece, head, row);
        const uint32_t* source =
            reinterpret_cast<const uint32_t*>(static_cast<const T*>(p.query) + at.tokenHead * D) + (lane & 3);
#pragma unroll
        for (int k = 0; k < D / 16; k++) {
          q[k][half] = source[k * 8];
          q[k][half + 2] = source[k * 8 + 4];
        }
        if (p.causal) high[half] = min(piece.kvEnd, at.position + 1);
        if (p.window > 0) low[half] = max(0, at.position - p.window + 1);
      } else {
#pragma unroll
        for (int k = 0; k < D / 16; k++) q[k][half] = q[k][half + 2] = 0;
      }
    }
    const bool any0 = rowBase + (lane >> 2) < piece.validRows(), any1 = rowBase + (lane >> 2) + 8 < piece.validRows();
    commonLow = __reduce_max_sync(0xffffffffu, max(low[0], low[1]));
    commonHigh = __reduce_min_sync(0xffffffffu, min(high[0], high[1]));
    anyHigh = __reduce_max_sync(0xffffffffu, max(any0 ? high[0] : 0, any1 ? high[1] : 0));
  }

  __device__ __forceinline__ void reset() {
    maximum[0] = maximum[1] = -INFINITY;
    sum[0] = sum[1] = 0.f;
#pragma unroll
    for (int j = 0; j < D / 8; j++) o[j][0] = o[j][1] = o[j][2] = o[j][3] = 0.f;
  }

  /** Takes in 16 KV tokens, `firstToken` onwards, that lie at rows [row, row + 16) of a stage. */
  __device__ __forceinline__ void takeTokens(const AttentionParams& p, uint32_t stage, int row, int firstToken, int lane) {
    const int matrix = lane >> 3, swizzle = lane & 7;
    float s[2][4] = {};
    {
      const uint32_t rowAddress = stage + (row + swizzle + (matrix >> 1) * 8) * 128;
      const uint32_t unit = ((matrix & 1) ^ swizzle) << 4;
#pragma unroll
      for (int k = 0; k < D / 16; k++) {
        uint32_t b[4];
        ptx::loadMatrix4(b, rowAddress + (k >> 2) * Shape<D>::planeBytes + (unit ^ ((k & 3) << 5)));
        ptx::multiplyAdd<T>(s[0], q[k], b[0], b[1]);
        ptx::multiplyAdd<T>(s[1], q[k], b[2], b[3]);
      }
    }
    const bool masked = firstToken + kWarpTokens > commonHigh || firstToken < commonLow;
#pragma unroll
    for (int n = 0; n < 2; n++) {
#pragma unroll
      for (int e = 0; e < 4; e++) {
        if (p.softCapLog2 > 0.f) {  // tanh(x) = 1 − 2 / (1 + e^2x)
          s[n][e] = p.softCapLog2 * (1.f - __fdividef(2.f, 1.f + ptx::exp2Fast(s[n][e] * p.scaleOverSoftCap)));
        } else {
          s[n][e] *= p.scaleLog2;
        }
        if (masked) {
          const int token = firstToken + n * 8 + (lane & 3) * 2 + (e & 1);
          if (token >= high[e >> 1] || token < low[e >> 1]) s[n][e] = -INFINITY;
        }
      }
    }
    float reference[2];
    bool grew = false;
    float previous[2] = {maximum[0], maximum[1]};
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float m = fmaxf(fmaxf(s[0][2 * half], s[0][2 * half + 1]), fmaxf(s[1][2 * half], s[1][2 * half + 1]));
      m = fmaxf(m, __shfl_xor_sync(0xffffffffu, m, 1));
      m = fmaxf(m, __shfl_xor_sync(0xffffffffu, m, 2));
      grew |= m > maximum[half];
      maximum[half] = fmaxf(maximum[half], m);
      reference[half] = maximum[half] == -INFINITY ? 0.f : maximum[half];
    }
    if (__any_sync(0xffffffffu, grew)) {
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const float factor = ptx::exp2Fast(previous[half] - reference[half]);
        sum[half] *= factor;
#pragma unroll
        for (int j = 0; j < D / 8; j++) {
          o[j][2 * half] *= factor;
          o[j][2 * half + 1] *= factor;
        }
      }
    }
#pragma unroll
    for (int n = 0; n < 2; n++) {
#pragma unroll
      for (int e = 0; e < 4; e++) {
        s[n][e] = ptx::exp2Fast(s[n][e] - reference[e >> 1]);
        sum[e >> 1] += s[n][e];
      }
    }
    const uint32_t probability[4] = {ptx::pack<T>(s[0][0], s[0][1]), ptx::pack<T>(s[0][2], s[0][3]),
                                     ptx::pack<T>(s[1][0], s[1][1]), ptx::pack<T>(s[1][2], s[1][3])};
    {
      const uint32_t rowAddress = stage + Shape<D>::tensorBytes + (row + swizzle + (matrix & 1) * 8) * 128;
      const uint32_t unit = ((matrix >> 1) ^ swizzle) << 4;
#pragma unroll
      for (int j = 0; j < D / 16; j++) {
        uint32_t b[4];
        ptx::loadMatrix4Transposed(b, rowAddress + (j >> 2) * Shape<D>::planeBytes + (unit ^ ((j & 3) << 5)));
        ptx::multiplyAdd<T>(o[2 * j], probability, b[0], b[1]);
        ptx::multiplyAdd<T>(o[2 * j + 1], probability, b[2], b[3]);
      }
    }
  }

  /** Adds up the row sums that the four lanes of a row hold apart. */
  __device__ __forceinline__ void finishSums() {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      sum[half] += __shfl_xor_sync(0xffffffffu, sum[half], 1);
      sum[half] += __shfl_xor_sync(0xffffffffu, sum[half], 2);
    }
  }
};

}  // namespace isochron
