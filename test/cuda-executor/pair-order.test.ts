import { Piece, type Plan } from "@isochron/planner";
import { describe, expect, it } from "vitest";
import { hasCompiler, nativeProgram } from "./native-program.ts";
import { planOf } from "./support.ts";

describe.skipIf(!hasCompiler)("workers that share a CTA", () => {
  const list = nativeProgram("list-pairs.cc");

  /** The plan's worker in each row of the table, where CTAs do two: rows c and c + pairs. */
  const rowsOf = (plan: Plan, pairs: number): readonly number[] => list(plan, String(pairs)).map(Number);

  it("let workers that begin with the same KV of a prefix be first in their CTAs, or second, where nothing speaks against it", () => {
    const kvLens = Array.from({ length: 64 }, (_, i) => 8192 + 100 + i);
    const prefixes = [{ requests: kvLens.map((_, i) => i), kvLen: 8192 }];
    const plan = planOf({ qoLens: kvLens.map(() => 1), kvLens, prefixes });
    const pairs = plan.workers / 2;
    const classes: string[] = [];
    const classOf = (worker: number): number => {
      for (let i = plan.workerPieceIndptr[worker]!; i < plan.workerPieceIndptr[worker + 1]!; i++) {
        const field = (name: number): number => plan.pieces[i * Piece.stride + name]!;
        if (field(Piece.rows) >> 16 <= 16) continue;
        const key = [field(Piece.request), field(Piece.head), Math.floor(field(Piece.kvStart) / 1024)].join();
        if (!classes.includes(key)) classes.push(key);
        return classes.indexOf(key);
      }
      return -1;
    };
    const byWorker = Array.from({ length: plan.workers }, (_, worker) => classOf(worker));
    const rows = rowsOf(plan, pairs);
    expect(classes.length).toBeGreaterThan(8);
    for (let c = 0; c < pairs; c++) {
      const isSwapped = rows[c] === c + pairs;
      expect([rows[c], rows[c + pairs]]).toEqual(isSwapped ? [c + pairs, c] : [c, c + pairs]);
      const [first, second] = [byWorker[c]!, byWorker[c + pairs]!];
      expect(isSwapped).toBe(first >= 0 ? first % 2 === 1 : second >= 0 && second % 2 === 0);
    }
  });

  it("let eight of sixteen CTAs that share no prefix begin with the second of their workers", () => {
    for (const plan of [
      planOf({ qoLens: [2048, 512, 1], kvLens: [8192, 4096, 900] }),
      planOf({ qoLens: [1], kvLens: [5000] }),
    ]) {
      const pairs = plan.workers / 2;
      const first = Array.from({ length: pairs }, (_, c) => (c % 16 < 8 ? c : c + pairs));
      expect(rowsOf(plan, pairs)).toEqual([...first, ...first.map((worker) => (worker + pairs) % plan.workers)]);
    }
  });
});
