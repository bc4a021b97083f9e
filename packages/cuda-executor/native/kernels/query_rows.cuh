// Which query token and head a packed row of a piece is, and where its KV position lies.
//
// Rows of one KV head are packed: token by token, its query heads side by side. A group's rows are its members', one after the other.
#pragma once
#include "params.h"

namespace isochron {

/** Where a packed row of a piece lives in the query and output tensors; −1 for rows past the piece's end. */
struct RowAddress {
  int64_t tokenHead;  // token × queryHeads + query head
  int position;       // absolute KV position of the query token
};

/** The member of a group that a packed row belongs to: the last whose rows begin at or before it. */
static __device__ __noinline__ int findMember(const MemberRecord* members, int start, int count, int packedRow) {
  int low = start, high = start + count - 1;
  // Members mostly have as many rows as the first: the right one is found at once, or the search narrowed by one trip.
  const int guess = min(low + packedRow / max(members[low].rows, 1), high);
  const int begin = members[guess].rowBegin;
  if (begin > packedRow) high = guess - 1;
  else if (begin + members[guess].rows > packedRow) low = high = guess;
  else low = guess;
  while (low < high) {
    const int middle = (low + high + 1) >> 1;
    if (members[middle].rowBegin <= packedRow) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Stands for a member's KV tokens before its query tokens, where these are not a group's: those all are before them. */
constexpr int kGroupHistory = 0x3fffffff;

/** packedRow / packedHeads; a division takes 30 instructions. */
__device__ __forceinline__ int tokenOf(const AttentionParams& p, int packedRow) {
  const int token = int(__umulhi(packedRow, p.packedHeadsReciprocal));
  return packedRow - token * p.packedHeads < p.packedHeads ? token : token + 1;  // never more than one too small
}

__device__ __forceinline__ RowAddress locateRow(const AttentionParams& p, const PieceRecord& piece, int head, int row) {
  int queryStart = piece.queryStart, packedRow = piece.rowStart + row, history = piece.kvLen - piece.qoLen;
  if (piece.memberCount > 0) {
    const int low = findMember(p.members, piece.memberStart, piece.memberCount, packedRow);
    const MemberRecord member = p.members[low];
    packedRow -= member.rowBegin;
    queryStart = member.queryStart;
    history = kGroupHistory;
  }
  const int token = tokenOf(p, packedRow);
  const int queryHead = head * p.packedHeads + (packedRow - token * p.packedHeads);
  return {int64_t(queryStart + token) * p.queryHeads + queryHead, history + token};
}

}  // namespace isochron
