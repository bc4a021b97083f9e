import { KvCache } from "@isochron/simulator";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type NaiveBlock, NaiveBlockPool } from "./naive-block-pool.ts";

const BLOCK = 4;

/** A cache and its block-by-block model, side by side. */
class Pair {
  readonly cache: KvCache;
  readonly pool: NaiveBlockPool;
  readonly perContent: number;
  readonly held = new Map<number, { blocks: NaiveBlock[]; hashes: string[]; tokens: number }>();
  #generation = 0;

  constructor(blocks: number, perContent: number) {
    this.perContent = perContent;
    this.cache = new KvCache({ blocks, blockSizeTokens: BLOCK, blocksPerContent: perContent, prefixCaching: true });
    this.pool = new NaiveBlockPool(blocks);
  }

  attach(slot: number, content: readonly number[], inputTokens: number): void {
    this.cache.attach(slot, Int32Array.from(content), inputTokens);
    this.#generation++;
    const shared = Math.min(Math.floor(inputTokens / BLOCK), content.length * this.perContent);
    const hashes = Array.from({ length: 100 }, (_, i) =>
      i < shared
        ? `shared ${content[Math.floor(i / this.perContent)]} ${i % this.perContent}`
        : `private ${this.#generation} ${i}`,
    );
    this.held.set(slot, { blocks: [], hashes, tokens: 0 });
  }

  admit(slot: number, known: number): void {
    const { hashes } = this.held.get(slot)!;
    const hits = this.pool.match(hashes.slice(0, Math.floor((known - 1) / BLOCK)));
    const cached = this.cache.lookup(slot, known);
    expect(cached).toBe(hits.length * BLOCK);
    const needed = Math.ceil(known / BLOCK) - hits.length + hits.filter(({ users }) => users === 0).length;
    const fits = needed <= this.pool.free.length;
    expect(this.cache.fits(known, 0)).toBe(fits);
    if (!fits) return;
    this.cache.admit(slot, known);
    this.pool.touch(hits);
    const blocks = [...hits, ...this.pool.take(Math.ceil(known / BLOCK) - hits.length)];
    this.held.set(slot, { blocks, hashes, tokens: known });
    this.#hash(slot);
  }

  grow(slot: number, more: number): void {
    const item = this.held.get(slot)!;
    const missing = Math.ceil((item.tokens + more) / BLOCK) - item.blocks.length;
    const fits = missing <= this.pool.free.length;
    expect(this.cache.grow(slot, item.tokens + more)).toBe(fits);
    if (!fits) return;
    item.blocks.push(...this.pool.take(Math.max(0, missing)));
    item.tokens += more;
    this.#hash(slot);
  }

  release(slot: number, isGone: boolean): void {
    const item = this.held.get(slot)!;
    this.cache.release(slot, item.tokens);
    this.pool.release(item.blocks);
    item.blocks = [];
    item.tokens = 0;
    if (!isGone) return;
    this.cache.detach(slot);
    this.held.delete(slot);
  }

  #hash(slot: number): void {
    const { blocks, hashes, tokens } = this.held.get(slot)!;
    for (let i = 0; i < Math.floor(tokens / BLOCK); i++) {
      if (blocks[i]!.hash === undefined) this.pool.hash(blocks[i]!, hashes[i]!);
    }
  }
}

const operation = fc.record({
  kind: fc.constantFrom("arrive", "arrive", "admit", "grow", "grow", "preempt", "finish"),
  slot: fc.integer({ min: 0, max: 5 }),
  tokens: fc.integer({ min: 1, max: 40 }),
  path: fc.array(fc.integer({ min: 0, max: 1 }), { maxLength: 5 }),
});

describe("the KV cache", () => {
  it("behaves as a block pool kept block by block does, on any history", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 8, max: 40 }),
        fc.integer({ min: 1, max: 4 }),
        fc.array(operation, { minLength: 1, maxLength: 120, size: "max" }),
        (blocks, perContent, operations) => {
          const pair = new Pair(blocks, perContent);
          const ids = new Map<string, number>();
          for (const { kind, slot, tokens, path } of operations) {
            const item = pair.held.get(slot);
            if (kind === "arrive") {
              if (item !== undefined) continue;
              let key = "";
              const content = path.map((branch) => {
                key += branch;
                if (!ids.has(key)) ids.set(key, ids.size);
                return ids.get(key)!;
              });
              pair.attach(slot, content, tokens);
              pair.admit(slot, tokens);
            } else if (item === undefined) continue;
            else if (item.blocks.length === 0) pair.admit(slot, tokens);
            else if (kind === "grow") pair.grow(slot, 1 + (tokens % 9));
            else if (kind === "preempt") pair.release(slot, false);
            else if (kind === "finish") pair.release(slot, true);
            expect(pair.cache.freeBlocks).toBe(pair.pool.free.length);
          }
          for (const slot of [...pair.held.keys()]) {
            if (pair.held.get(slot)!.blocks.length > 0) pair.release(slot, true);
          }
          expect(pair.cache.usedBlocks).toBe(0);
        },
      ),
      { numRuns: 3000 },
    );
  });

  it("without prefix caching shares nothing", () => {
    const cache = new KvCache({ blocks: 10, blockSizeTokens: 4, blocksPerContent: 1, prefixCaching: false });
    cache.attach(0, Int32Array.of(0, 1), 8);
    expect(cache.lookup(0, 8)).toBe(0);
    cache.admit(0, 8);
    expect(cache.matchTokens(Int32Array.of(0, 1), 9)).toBe(0);
    cache.release(0, 8);
    expect(cache.freeBlocks).toBe(10);
  });

  it("tells routers how much of a prompt it has, in use or not", () => {
    const cache = new KvCache({ blocks: 10, blockSizeTokens: 4, blocksPerContent: 2, prefixCaching: true });
    cache.attach(0, Int32Array.of(0, 1), 13);
    cache.lookup(0, 13);
    cache.admit(0, 13);
    expect(cache.matchTokens(Int32Array.of(0, 1), 13)).toBe(12);
    expect(cache.matchTokens(Int32Array.of(0, 1), 12)).toBe(8);
    expect(cache.matchTokens(Int32Array.of(0, 2), 13)).toBe(8);
    cache.release(0, 13);
    expect(cache.matchTokens(Int32Array.of(0, 1), 13)).toBe(12);
    expect(cache.matchTokens(undefined, 13)).toBe(0);
  });
});
