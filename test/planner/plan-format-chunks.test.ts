// The chunks of `invariant` plans as docs/plan-format.md tells a reader in another language to find them.

import { createPlanner, H100_SXM, Header, Piece, partialStates } from "@isochron/planner";
import { describe, expect, it } from "vitest";
import { LLAMA_8B } from "./support.ts";

const powerUpTo = (x: number): number => 2 ** Math.floor(Math.log2(x));

/** Whether a piece begins a chunk, and how many states it leaves. */
function documented(kvStart: number, kvEnd: number, gridTokens: number, rows: number): [boolean, number] {
  const g = Math.min(7, Math.max(0, Math.floor(Math.log2(rows / 128))));
  const tokens = [1, 2, 4, 4, 4, 16, 32, 32][g]! * gridTokens;
  const sizeAt = (u: number): number => {
    return Math.max(g === 0 && u >= 8 ? 2 : 1, (u === 0 ? 0 : powerUpTo(u)) / Math.min(64, 2 ** (8 - g)));
  };
  const first = (token: number): number => {
    const u = Math.floor(token / tokens);
    return u - (u % sizeAt(u));
  };
  const from = first(kvStart);
  const to = first(kvEnd - 1) + sizeAt(first(kvEnd - 1));
  let states = 0;
  for (let at = from; at < to; states++) {
    let size = sizeAt(at);
    while (at % (2 * size) === 0 && at + 2 * size <= to) size *= 2;
    at += size;
  }
  return [from * tokens === kvStart, states];
}

describe("the chunks of an invariant plan", () => {
  it.each([1, 4, 8, 16, 32, 64, 128, 256, 512, 1024])("are those of the document for %s query tokens", (qoLen) => {
    const kvLens = [100_000, 30_000, 9000, 70_000];
    const plan = createPlanner({ attention: LLAMA_8B, device: H100_SXM, policy: "invariant" }).plan({
      qoLens: kvLens.map(() => qoLen),
      kvLens,
    });
    let partial = 0;
    for (let record = 0; record < plan.pieceRecordCount; record++) {
      const at = record * Piece.stride;
      if (plan.pieces[at + Piece.slot]! < 0) continue;
      partial++;
      const [kvStart, kvEnd] = [plan.pieces[at + Piece.kvStart]!, plan.pieces[at + Piece.kvEnd]!];
      const found = documented(kvStart, kvEnd, plan.header[Header.mergeGridTokens]!, qoLen * LLAMA_8B.queryHeads);
      expect(found).toEqual([true, partialStates(plan, at)]);
    }
    expect(partial).toBeGreaterThan(20);
  });
});
